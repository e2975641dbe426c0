//! A headless browser that shows a page as on a desktop or a phone: Debian's Chromium, driven over WebDriver.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::unistd::geteuid;
use serde_json::{Value, json};

use crate::account::command;
use crate::http::Http;
use crate::target;

/// The size of the viewport in CSS pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    pub width: u32,
    pub height: u32,
    /// Whether it behaves like a phone, which lays out a page without a viewport for a desktop and shrinks it.
    pub is_phone: bool,
}

/// A current phone.
pub const PHONE: Screen = Screen {
    width: 390,
    height: 844,
    is_phone: true,
};

/// A desktop.
pub const DESK: Screen = Screen {
    width: 1280,
    height: 800,
    is_phone: false,
};

/// WebDriver's key for the id of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Starting a browser on a busy machine takes a while.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running browser with one page; it ends when this is dropped, or with this process, however that ends.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    http: Http,
    /// The address of the session.
    session: String,
    screen: Screen,
}

impl Browser {
    /// Starts one that can only reach this machine.
    pub fn start(screen: Screen) -> Result<Self> {
        let (mut driver, port) = start_driver()?;
        let started = (|| {
            let base = format!("http://127.0.0.1:{port}");
            let http = Http::new(PATIENCE);
            let session = new_session(&http, &base)?;
            Ok((http, format!("{base}/session/{session}")))
        })();
        match started {
            Ok((http, session)) => {
                let mut browser = Self {
                    driver,
                    http,
                    session,
                    screen,
                };
                browser.resize(screen)?;
                Ok(browser)
            }
            Err(error) => {
                end(&mut driver);
                Err(error)
            }
        }
    }

    /// Changes the screen.
    pub fn resize(&mut self, screen: Screen) -> Result<()> {
        let parameters = json!({
            "width": screen.width,
            "height": screen.height,
            "deviceScaleFactor": 1,
            "mobile": screen.is_phone,
        });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": parameters });
        self.post("goog/cdp/execute", &command)?;
        self.screen = screen;
        Ok(())
    }

    /// As for people who prefer "light" or "dark".
    pub fn prefer(&self, scheme: &str) -> Result<()> {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        let command =
            json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "features": [feature] } });
        self.post("goog/cdp/execute", &command)?;
        Ok(())
    }

    /// Opens a page and waits until it is loaded.
    pub fn open(&self, url: &str) -> Result<()> {
        self.post("url", &json!({ "url": url }))?;
        Ok(())
    }

    /// The address after redirects.
    pub fn url(&self) -> Result<String> {
        text(self.get("url")?)
    }

    /// The current page as HTML, without the places where a long name may be broken.
    pub fn dom(&self) -> Result<String> {
        let html = text(self.run("return document.documentElement.outerHTML", &json!([]))?)?;
        Ok(html.replace("<wbr>", ""))
    }

    /// What a script returns; its arguments are `arguments[0]` and so on.
    pub fn run(&self, script: &str, arguments: &Value) -> Result<Value> {
        self.post(
            "execute/sync",
            &json!({ "script": script, "args": arguments }),
        )
    }

    /// How many CSS pixels the page is wider than the screen; more than 0 means horizontal scrolling.
    pub fn overflow(&self) -> Result<i64> {
        // Not innerWidth, which a phone increases to show what does not fit.
        let script = "const root = document.documentElement; \
                      return [root.scrollWidth, window.innerWidth - root.clientWidth]";
        let widths = self.run(script, &json!([]))?;
        let width = |number: usize| widths.get(number).and_then(Value::as_i64);
        let (Some(page), Some(bar)) = (width(0), width(1)) else {
            bail!("no widths: {widths}");
        };
        // On a desktop the vertical scroll bar takes part of the width.
        let bar = if self.screen.is_phone { 0 } else { bar };
        Ok(page - (i64::from(self.screen.width) - bar))
    }

    /// What axe-core finds on the page that keeps people from using it, one line per rule; nothing where axe-core is missing, which is said.
    pub fn violations(&self) -> Result<Vec<String>> {
        let file = target().join("tools/axe.js");
        let Ok(axe) = fs::read_to_string(&file) else {
            eprintln!(
                "{} is missing: run .ci/audit-tools; a page was not checked",
                file.display()
            );
            return Ok(Vec::new());
        };
        self.run(&axe, &json!([]))?;
        let script = "const done = arguments[arguments.length - 1]; \
                      axe.run().then(found => done(found.violations.map(it => \
                        it.id + ': ' + it.help + ': ' + it.nodes.map(node => node.html.slice(0, 200)).join(' | '))), \
                        error => done(['axe: ' + error]));";
        let found = self.post("execute/async", &json!({ "script": script, "args": [] }))?;
        let lines = found.as_array().context("axe found no list")?.iter();
        Ok(lines
            .map(|line| line.as_str().unwrap_or_default().to_owned())
            .collect())
    }

    /// Waits for the expected address: a click returns before the next page is loaded.
    pub fn wait_for_url(&self, is_wanted: impl Fn(&str) -> bool) -> Result<String> {
        let begun = Instant::now();
        loop {
            let url = self.url()?;
            if is_wanted(&url) {
                return Ok(url);
            }
            if begun.elapsed() > PATIENCE {
                bail!("still at {url}");
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// The text of the first element that a CSS selector finds.
    pub fn text_of(&self, selector: &str) -> Result<String> {
        let element = self.find(selector)?;
        text(self.get(&format!("element/{element}/text"))?)
    }

    /// Clicks on the first element that matches a CSS selector; an element that is covered or out of sight is an error.
    pub fn click(&self, selector: &str) -> Result<()> {
        let element = self.find(selector)?;
        self.post(&format!("element/{element}/click"), &json!({}))?;
        Ok(())
    }

    /// Types into the first element that a CSS selector finds.
    pub fn fill(&self, selector: &str, text: &str) -> Result<()> {
        let element = self.find(selector)?;
        self.post(
            &format!("element/{element}/value"),
            &json!({ "text": text }),
        )?;
        Ok(())
    }

    /// Writes a screenshot as a PNG.
    pub fn screenshot(&self, path: &Path) -> Result<()> {
        let image = STANDARD.decode(text(self.get("screenshot")?)?)?;
        fs::write(path, image).with_context(|| format!("cannot write {}", path.display()))
    }

    fn find(&self, selector: &str) -> Result<String> {
        let using = json!({ "using": "css selector", "value": selector });
        let found = self.post("element", &using)?;
        let id = found.get(ELEMENT).and_then(Value::as_str);
        Ok(id
            .with_context(|| format!("no element: {found}"))?
            .to_owned())
    }

    fn get(&self, what: &str) -> Result<Value> {
        value(self.http.get(&format!("{}/{what}", self.session), &[])?)
            .with_context(|| what.to_owned())
    }

    fn post(&self, what: &str, body: &Value) -> Result<Value> {
        let url = format!("{}/{what}", self.session);
        value(self.http.post_json(&url, &[], body)?).with_context(|| what.to_owned())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A browser that hangs ends with its driver.
        let _ = self.http.send("DELETE", &self.session, &[], b"");
        end(&mut self.driver);
    }
}

/// Starts the driver; returns its port. It ends if another program takes the port that it has chosen before it has it for both families
/// of addresses.
fn start_driver() -> Result<(Child, u16)> {
    const TRIES: usize = 3;
    for _ in 0..TRIES {
        let mut driver = spawn_driver()?;
        match port_of(&mut driver) {
            Ok(Some(port)) => return Ok((driver, port)),
            Ok(None) => end(&mut driver),
            Err(error) => {
                end(&mut driver);
                return Err(error);
            }
        }
    }
    bail!("chromedriver did not start")
}

/// Under a shell that ends it when this process is gone. The shell does not keep its output open.
fn spawn_driver() -> Result<Child> {
    let program = installed("chromedriver", "chromium-driver")?;
    command("sh")
        .args([
            "-c",
            "\"$0\" --port=0 </dev/null & exec >&-; read -r _; kill \"$!\"",
        ])
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot start chromedriver")
}

/// The shell waits for its input to be closed.
fn end(driver: &mut Child) {
    drop(driver.stdin.take());
    let _ = driver.wait();
}

/// The driver prints the port it chose; None if it ends before.
fn port_of(driver: &mut Child) -> Result<Option<u16>> {
    let output = driver.stdout.take().context("no output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        if let Some((_, rest)) = line.split_once("started successfully on port ") {
            return Ok(Some(rest.trim_end_matches('.').parse()?));
        }
    }
    Ok(None)
}

fn new_session(http: &Http, base: &str) -> Result<String> {
    let mut arguments = vec![
        "--headless=new",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--no-proxy-server",
        "--disable-background-networking",
        "--disable-component-update",
        // Resolves no names and reaches no other address: a page that needs the network would show it.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        // Over a pipe the browser notices when its driver is gone, and ends.
        "--remote-debugging-pipe",
    ];
    if geteuid().is_root() {
        arguments.push("--no-sandbox");
    }
    let options = json!({
        "binary": installed("chromium", "chromium")?,
        "args": arguments,
    });
    let timeouts = json!({ "pageLoad": 60_000, "script": 60_000, "implicit": 0 });
    let wanted = json!({ "goog:chromeOptions": options, "timeouts": timeouts });
    let body = json!({ "capabilities": { "alwaysMatch": wanted } });
    let session = value(http.post_json(&format!("{base}/session"), &[], &body)?)
        .context("cannot start chromium")?;
    text(session.get("sessionId").cloned().unwrap_or_default())
}

fn installed(program: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|program| program.exists())
        .with_context(|| {
            format!("{program} is missing: .ci/setup tests installs Debian's package {package}")
        })
}

/// WebDriver's result or error.
fn value(reply: crate::http::Reply) -> Result<Value> {
    let answer = reply.json()?;
    let value = answer.get("value").cloned().unwrap_or_default();
    ensure!(
        reply.status == 200,
        "{}: {}",
        value["error"].as_str().unwrap_or_default(),
        value["message"].as_str().unwrap_or_default()
    );
    Ok(value)
}

fn text(value: Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text),
        other => bail!("not a text: {other}"),
    }
}

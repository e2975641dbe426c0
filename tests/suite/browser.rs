//! The browser harness: rendering, measuring, clicking, and no access beyond this machine.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Result, ensure};
use lockstep_tests::browser::{Browser, DESK, PHONE};
use lockstep_tests::target;
use serde_json::json;

const FITS: &str = "<!doctype html><meta name=viewport content='width=device-width, initial-scale=1'>\
    <title>Fits</title><h1>It fits</h1><div style='height: 3000px; width: 100%'></div>\
    <form action=/wide style='position: fixed; top: 9em'><input name=q><button>Go</button></form>";
const WIDE: &str = "<!doctype html><meta name=viewport content='width=device-width, initial-scale=1'>\
    <title>Wide</title><div style='width: 700px'>too wide</div>";
const UNAWARE: &str = "<!doctype html><title>Unaware</title><p>says nothing of its width";

/// Serves the three pages by name. A browser opens connections in advance, so each gets a thread.
fn serve() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream) -> Result<()> {
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let page = match head.split(['?', ' ']).nth(1) {
        Some("/wide") => WIDE,
        Some("/unaware") => UNAWARE,
        _ => FITS,
    };
    let length = page.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{page}"
    )?;
    Ok(())
}

#[test]
fn browser_shows_measures_and_clicks() -> Result<()> {
    let base = format!("http://{}", serve()?);
    let mut browser = Browser::start(PHONE)?;
    let overflow = |browser: &Browser, page: &str| -> Result<i64> {
        browser.open(&format!("{base}/{page}"))?;
        browser.overflow()
    };
    assert_eq!(overflow(&browser, "fits")?, 0);
    assert_eq!(browser.text_of("h1")?, "It fits");
    ensure!(
        browser.dom()?.contains("<title>Fits</title>"),
        "{}",
        browser.dom()?
    );
    let width = browser.run("return window.innerWidth + arguments[0]", &json!([1]))?;
    assert_eq!(width, json!(391));
    ensure!(
        browser.text_of("h2").is_err(),
        "an element that is not there"
    );
    // What a screen reader needs is missed, where axe-core is there to miss it.
    let missed = browser.violations()?;
    ensure!(
        !target().join("tools/axe.js").exists()
            || missed.iter().any(|it| it.starts_with("html-has-lang:")),
        "{missed:?}"
    );
    // 700 pixels and the margin of 8 before them.
    assert_eq!(overflow(&browser, "wide")?, 318);
    ensure!(
        overflow(&browser, "unaware")? > 0,
        "laid out for a phone by itself"
    );

    browser.open(&base)?;
    browser.fill("input", "lock step")?;
    browser.click("button")?;
    let wanted = format!("{base}/wide?q=lock+step");
    browser.wait_for_url(|url| url == wanted)?;

    browser.resize(DESK)?;
    for page in ["fits", "wide", "unaware"] {
        assert_eq!(overflow(&browser, page)?, 0, "{page}");
    }

    let picture = target().join("tmp/browser.png");
    browser.screenshot(&picture)?;
    let image = fs::read(&picture)?;
    ensure!(image.starts_with(b"\x89PNG"), "no picture");

    // There is no way out, by name or by address (the address is unassigned, and would time out).
    for page in ["http://example.com/", "http://192.0.2.1/"] {
        let error = browser.open(page).err();
        let error = error.map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(error.contains("ERR_NAME_NOT_RESOLVED"), "{page}: {error}");
    }
    Ok(())
}

//! Runs the examples of README and the book. Every SQL block runs, in page order, and may only fail if its output shows that. A
//! shell block is parsed; it runs if its output is shown. Output is the text block that follows; `…` in it matches anything
//! within a line.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use lockstep_tests::cluster::{PORT, SUPERUSER};
use lockstep_tests::host::{self, Layout};
use lockstep_tests::{root, target};

use super::page::{Block, Part, parts, write};
use super::{is_writing, name_of, pages};
use crate::database::cluster;

/// The database name that the pages use.
const DATABASE: &str = "gitlabhq_production";

/// Pages that create the extensions themselves; for others everything is installed and attached.
const FROM_SCRATCH: [&str; 3] = ["README.md", "docs/install.md", "docs/quick-start.md"];

/// The Slack app's settings for commands.
const APP: [(&str, &str); 5] = [
    ("LOCKSTEP_PUBLIC_URL", "https://slack.example"),
    ("SLACK_CLIENT_ID", "1.2"),
    ("SLACK_CLIENT_SECRET", "client-secret"),
    ("SLACK_SIGNING_SECRET", "signing-secret"),
    ("LOCKSTEP_TOKEN_KEY", "0123456789abcdef0123456789abcdef"),
];

#[test]
fn examples_do_what_the_pages_show() -> Result<()> {
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in pages()? {
        let text = fs::read_to_string(&path)?;
        let mut page = parts(&text);
        for part in &page {
            let Part::Line(number, line) = part else {
                continue;
            };
            ensure!(
                !line.trim_start().starts_with("```"),
                "{}:{number}: an example that is indented does not run",
                name_of(&path)
            );
        }
        if !page.iter().any(is_example) {
            continue;
        }
        count += run_page(&path, &mut page, &mut wrong)
            .with_context(|| format!("in {}", name_of(&path)))?;
        if is_writing() {
            fs::write(&path, write(&page))?;
        }
    }
    ensure!(count > 50, "only {count} examples were found");
    ensure!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    Ok(())
}

fn is_example(part: &Part) -> bool {
    matches!(part, Part::Block(block) if ["sql", "sh"].contains(&block.language.as_str()))
}

/// Runs the examples of a page and collects wrong ones; returns how many examples there are.
fn run_page(path: &Path, page: &mut [Part], wrong: &mut Vec<String>) -> Result<usize> {
    prepare(&name_of(path))?;
    let mut count = 0;
    for place in 0..page.len() {
        let Part::Block(block) = page[place].clone() else {
            continue;
        };
        let mut complain = |what: String| {
            wrong.push(format!("{}:{}: {what}", name_of(path), block.line));
        };
        let shown = output_after(page, place);
        let output = match (block.language.as_str(), shown) {
            ("sql", _) => sql(&block.text)?,
            ("sh", shown) => {
                if let Err(error) = parse(&block.text) {
                    complain(format!("bash does not take it: {error:#}"));
                }
                count += 1;
                match shown {
                    Some(_) => shell(&block.text)?,
                    None => continue,
                }
            }
            ("json", _) => {
                if let Err(error) = serde_json::from_str::<serde_json::Value>(&block.text) {
                    complain(format!("it is no JSON: {error}"));
                }
                continue;
            }
            _ => continue,
        };
        count += 1;
        match shown {
            Some(place) => {
                let Part::Block(shown) = &mut page[place] else {
                    bail!("no block");
                };
                match matches(&shown.text, &output) {
                    true => {}
                    false if is_writing() => shown.text = output,
                    false => complain(format!(
                        "the output is\n{output}but the page shows\n{}",
                        shown.text
                    )),
                }
            }
            None if output.contains("ERROR:") => complain(format!("it fails:\n{output}")),
            None => {}
        }
    }
    Ok(count)
}

/// The text block that follows an example, with only blank lines in between.
fn output_after(page: &[Part], place: usize) -> Option<usize> {
    let after = page.iter().enumerate().skip(place + 1);
    for (place, part) in after {
        match part {
            Part::Line(_, line) if line.is_empty() => {}
            Part::Block(Block { language, .. }) if language == "text" => return Some(place),
            _ => return None,
        }
    }
    None
}

/// Creates the database again, with sample rows.
fn prepare(page: &str) -> Result<()> {
    cluster()?
        .connect("postgres")?
        .batch_execute(&format!("drop database if exists {DATABASE} with (force)"))?;
    let mut client = cluster()?.create_database(DATABASE)?;
    host::create(&mut client, Layout::Narrow)?;
    for script in [host::MEMBERS, host::DEPLOYMENTS, host::SAMPLE] {
        host::run(&mut client, script)?;
    }
    if !FROM_SCRATCH.contains(&page) {
        client.batch_execute(
            "create extension lockstep; create extension lockstep_slack;
             select lockstep.attach(); select lockstep.attach_slack()",
        )?;
    }
    Ok(())
}

/// The output of psql, including errors.
fn sql(text: &str) -> Result<String> {
    let file = target().join("docs-example.sql");
    fs::write(&file, text)?;
    let mut psql = cluster()?.client_program("psql");
    psql.args([
        "--no-psqlrc",
        "--quiet",
        "--pset=footer=off",
        "--dbname",
        DATABASE,
    ]);
    psql.arg("--set=VERBOSITY=default").arg("--file=-");
    psql.stdin(fs::File::open(&file)?);
    printed(psql)
}

fn parse(text: &str) -> Result<()> {
    let output = Command::new("bash").args(["-n", "-c", text]).output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn shell(text: &str) -> Result<String> {
    let psql = cluster()?.client_program("psql");
    let programs = Path::new(psql.get_program())
        .parent()
        .context("psql is nowhere")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let mut bash = Command::new("bash");
    bash.args(["-e", "-o", "pipefail", "-c", text])
        .current_dir(root())
        .env(
            "PATH",
            format!(
                "{}:{}:{path}",
                target().join("debug").display(),
                programs.display()
            ),
        )
        .env("PGHOST", cluster()?.socket())
        .env("PGPORT", PORT.to_string())
        .env("PGUSER", SUPERUSER)
        .env("PGDATABASE", DATABASE)
        .envs(APP);
    printed(bash)
}

/// The output of a command, without trailing whitespace and empty lines.
fn printed(mut command: Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    let text = [output.stderr, output.stdout].concat();
    let text = String::from_utf8(text)?;
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let text = lines
        .join("\n")
        .trim_matches('\n')
        .replace("psql:<stdin>:", "");
    Ok(format!("{text}\n"))
}

/// Whether the output matches what is shown.
fn matches(shown: &str, output: &str) -> bool {
    let (shown, output): (Vec<&str>, Vec<&str>) = (
        shown.trim_end().lines().collect(),
        output.trim_end().lines().collect(),
    );
    shown.len() == output.len()
        && shown
            .iter()
            .zip(output)
            .all(|(shown, line)| line_matches(shown.trim_end(), line))
}

fn line_matches(shown: &str, line: &str) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{line_matches, matches};

    #[test]
    fn dots_stand_for_anything_in_a_line() {
        for (shown, line) in [
            ("a", "a"),
            ("a …", "a b c"),
            ("… c", "a b c"),
            ("a…c…e", "a b c d e"),
        ] {
            assert!(line_matches(shown, line), "{shown} {line}");
        }
        for (shown, line) in [("a", "ab"), ("a…c", "a b"), ("…b", "bc")] {
            assert!(!line_matches(shown, line), "{shown} {line}");
        }
        assert!(matches("a\n…\n", "a\nb\n") && !matches("a\n…\n", "a\n"));
    }
}

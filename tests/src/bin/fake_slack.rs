//! The fake Slack as a program: one workspace, one user, one channel, one app.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use lockstep_tests::slack::{App, FakeSlack};

/// Behaves like Slack towards an app, on loopback, until interrupted.
#[derive(Debug, Parser)]
#[command(name = "fake_slack", max_term_width = 100)]
struct CommandLine {
    /// Port to listen on; 0 for any free port
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Secret that signs calls to the app
    #[arg(long, env = "SLACK_SIGNING_SECRET", hide_env_values = true)]
    signing_secret: Option<String>,
    /// The app's id for OAuth
    #[arg(long, env = "SLACK_CLIENT_ID")]
    client_id: Option<String>,
    /// The app's secret for OAuth
    #[arg(long, env = "SLACK_CLIENT_SECRET", hide_env_values = true)]
    client_secret: Option<String>,
    /// Name of the workspace
    #[arg(long, default_value = "Acme")]
    workspace: String,
    /// Issue tokens that expire after 12 hours, with refresh tokens
    #[arg(long)]
    rotate_tokens: bool,
}

fn main() -> ExitCode {
    match run(CommandLine::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fake_slack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(line: CommandLine) -> Result<()> {
    let usual = App::default();
    let app = App {
        signing_secret: line.signing_secret.unwrap_or(usual.signing_secret),
        client_id: line.client_id.unwrap_or(usual.client_id),
        client_secret: line.client_secret.unwrap_or(usual.client_secret),
        rotates_tokens: line.rotate_tokens,
        ..App::default()
    };
    let is_interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&is_interrupted))?;
    }
    let fake = FakeSlack::start_on(app, line.port)?;
    let workspace = fake.create_workspace(&line.workspace);
    let user = fake.create_user(&workspace.id, "ada");
    let channel = fake.create_channel(&workspace.id, "general");
    fake.join(&channel.id, &user.id)?;
    println!("{}", fake.base_url());
    println!("workspace {} {}", workspace.id, workspace.name);
    println!("user      {} {}", user.id, user.name);
    println!("channel   {} #{}", channel.id, channel.name);
    let mut told = 0;
    while !is_interrupted.load(Ordering::Relaxed) {
        let calls = fake.calls();
        for call in calls.iter().skip(told) {
            let outcome = call.error.as_deref().unwrap_or("ok");
            println!("{} {outcome}", call.method);
        }
        told = calls.len();
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

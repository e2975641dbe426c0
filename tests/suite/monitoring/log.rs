//! What the log says: of a job in the fields of dashboards, and of an outage of Slack once.

use anyhow::{Context, Result, ensure};
use lockstep_tests::gitlab::push;
use lockstep_tests::host::Layout;
use lockstep_tests::slack::Fault;
use serde_json::{Value, json};

use crate::database::with_slack;
use crate::notification::app::Scene;
use crate::sidecar::work::{enqueue, work};

#[test]
fn a_job_has_the_fields_of_workers() -> Result<()> {
    let name = "log_jobs";
    let mut client = with_slack(name, Layout::Narrow)?;
    let old = enqueue(&mut client, "IrkerWorker", "[1]")?;
    // As after the rename.
    let new = enqueue(&mut client, "IrkerWorker", "[1]")?;
    let renamed =
        "update lockstep_internal.job set worker = 'Integrations::IrkerWorker' where id = $1";
    client.execute(renamed, &[&new])?;
    let log = work(name, &["--log-format", "json"])?;
    let lines: Vec<Value> = log.lines().flat_map(serde_json::from_str).collect();
    let of = |id: i64| -> Result<&Value> {
        let found = lines.iter().find(|line| line["jid"] == json!(id));
        found.with_context(|| log.clone())
    };
    for (id, old_name) in [(old, json!("IrkerWorker")), (new, Value::Null)] {
        let line = of(id)?;
        for (field, expected) in [
            ("class", json!("Integrations::IrkerWorker")),
            ("old_name", old_name),
            ("job_status", json!("fail")),
            ("error_class", json!("ArgumentError")),
            ("attempt", json!(1)),
            ("level", json!("WARN")),
        ] {
            assert_eq!(line[field], expected, "{field}: {line}");
        }
        let text = line["error_message"].as_str().unwrap_or_default();
        ensure!(text.contains("the arguments of the job"), "{line}");
        ensure!(line["duration_s"].is_f64(), "{line}");
    }
    Ok(())
}

/// Thousands of calls may fail: the log has a line as it begins, and one as it ends.
#[test]
fn an_outage_of_slack_is_told_once() -> Result<()> {
    let mut scene = Scene::new("log_outage")?;
    scene.channel("general");
    scene.set("project_id", 1, &json!({ "channels": ["#general"] }))?;
    let slack = &scene.stage.slack;
    slack.fail("chat.postMessage", Fault::Status(503), Some(3));
    scene.tell(&push(1, "Boil the water"), 1)?;
    scene.settle()?;
    // The log comes through a pipe.
    scene.stage.sidecar.wait_for_log("answers again")?;
    let log = scene.stage.sidecar.log();
    let told = |words: &str| {
        let lines = log.lines().filter(|line| line.contains("Slack"));
        lines.filter(|line| line.contains(words)).count()
    };
    assert_eq!(
        told("no answer; failures are logged once a minute"),
        1,
        "{log}"
    );
    assert_eq!(told("answers again"), 1, "{log}");
    ensure!(log.contains("failures=3"), "{log}");
    assert_eq!(told("WARN"), 1, "{log}");
    Ok(())
}

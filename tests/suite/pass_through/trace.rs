//! A trace that a proxy in front has begun continues in GitLab, and whoever sees an error knows which request it was.

use anyhow::{Result, ensure};
use lockstep_tests::gitlab::Fault;
use lockstep_tests::http::FORM;

use super::Scene;
use crate::slack_app::COMMANDS;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[test]
fn a_trace_continues_in_gitlab() -> Result<()> {
    let scene = Scene::set("pass_trace")?;
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let give = |parent: &str| {
        let body =
            scene
                .stage
                .caller
                .command_body(&scene.origin(), "/gitlab", "group/one issue show 1");
        let headers = [("traceparent", parent), ("tracestate", "vendor=1")];
        let caller = &scene.stage.caller;
        caller.post_through(COMMANDS, FORM, &headers, body.as_bytes())
    };
    assert_eq!(give(&parent)?.status, 200);
    let received = scene.gitlab.received();
    ensure!(received.len() == 1, "{received:?}");
    assert_eq!(received[0].header("traceparent"), [&*parent]);
    assert_eq!(received[0].header("tracestate"), ["vendor=1"]);
    scene.gitlab.forget();
    // What has no valid form is nobody's trace.
    assert_eq!(give("00-nonsense")?.status, 200);
    let received = scene.gitlab.received();
    ensure!(received.len() == 1, "{received:?}");
    assert_eq!(received[0].header("traceparent"), [""; 0]);
    assert_eq!(received[0].header("tracestate"), [""; 0]);
    Ok(())
}

#[test]
fn an_error_names_its_request() -> Result<()> {
    let scene = Scene::set("pass_request")?;
    for text in ["group/one issue show 1", "help"] {
        scene.gitlab.fail(&[Fault::Status(500)], false);
        let body = scene
            .stage
            .caller
            .command_body(&scene.origin(), "/gitlab", text);
        let headers = [("x-request-id", "told-1")];
        let reply = scene
            .stage
            .caller
            .post_through(COMMANDS, FORM, &headers, body.as_bytes())?;
        let said = reply.json()?;
        let said = said["text"].as_str().unwrap_or_default();
        ensure!(said.contains("(request `told-1`)"), "{text}: {said}");
    }
    let answered = scene.give("group/one issue show 1")?.text();
    ensure!(!answered.contains("(request "), "{answered}");
    Ok(())
}

//! The four endpoints that Slack calls.

use serde_json::{Value, json};

use super::answer::Answer;
use super::verify::{has_token, is_signed};
use super::world::{Received, World};
use super::{command, incident};

pub(super) fn answer(world: &mut World, request: &Received) -> Answer {
    match request.path.as_str() {
        "/api/v4/slack/trigger" => {
            if !has_token(&world.app, request.field("token").as_deref()) {
                return Answer::json(404, json!({ "message": "404 Not Found" }));
            }
            match request.field("text") {
                Some(text) => command::answer(world, request, &text),
                None => Answer::json(400, json!({ "error": "text is missing" })),
            }
        }
        "/api/v4/integrations/slack/events" => signed(world, request, events),
        "/api/v4/integrations/slack/interactions" => signed(world, request, interactions),
        "/api/v4/integrations/slack/options" => signed(world, request, options),
        _ => Answer::json(404, json!({ "error": "404 Not Found" })),
    }
}

fn signed(
    world: &mut World,
    request: &Received,
    answer: fn(&mut World, &Received) -> Option<Answer>,
) -> Answer {
    match is_signed(&world.app, request) {
        // GitLab answers what it does not know as if all were well.
        true => answer(world, request).unwrap_or_else(|| Answer::empty(204)),
        false => Answer::json(401, json!({ "message": "401 Unauthorized" })),
    }
}

fn events(world: &mut World, request: &Received) -> Option<Answer> {
    let envelope: Value = serde_json::from_slice(&request.body).ok()?;
    match envelope["type"].as_str()? {
        "url_verification" => Some(Answer::json(
            200,
            json!({ "challenge": envelope["challenge"] }),
        )),
        "event_callback" => {
            let event = &envelope["event"];
            let is_known = match event["type"].as_str()? {
                "app_home_opened" | "app_mention" => true,
                "message" => matches!(event["channel_type"].as_str(), Some("im" | "mpim")),
                _ => false,
            };
            if !is_known {
                return None;
            }
            let id = envelope["event_id"].as_str()?;
            world.events.insert(id.to_owned());
            Some(Answer::json(200, json!({})))
        }
        _ => None,
    }
}

fn payload(request: &Received) -> Option<Value> {
    serde_json::from_str(&request.field("payload")?).ok()
}

fn interactions(world: &mut World, request: &Received) -> Option<Answer> {
    incident::interact(world, &payload(request)?)
}

fn options(_: &mut World, request: &Received) -> Option<Answer> {
    incident::options(&payload(request)?)
}

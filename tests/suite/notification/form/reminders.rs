//! The reminders of reviews of the form: a line for each.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::open::Form;
use crate::notification::app::Scene;

const FIELD: &str = "review_reminders";

#[test]
fn lines_become_reminders() -> Result<()> {
    let mut scene = Scene::new("form_reminders")?;
    let ada = scene.ada.clone();
    let mut form = Form::open(&mut scene, &ada)?;
    assert_eq!(form.lines(FIELD)?, Value::Null);
    form.type_lines(
        FIELD,
        "9:00 mon-fri Europe/Berlin #review, C0123\n\n*/30 8 1 * * UTC #often",
    )?;
    assert_eq!(form.save(&mut scene, &ada)?, Value::Null);
    let reminder = |cron: &str, zone: &str, channels: &[&str]| json!({ "cron": cron, "time_zone": zone, "channels": channels });
    let [often, review] = [
        reminder("*/30 8 1 * *", "UTC", &["#often"]),
        reminder("0 9 * * MON-FRI", "Europe/Berlin", &["#review", "C0123"]),
    ];
    assert_eq!(scene.settings()?[FIELD], json!([often, review]));
    let mut form = Form::open(&mut scene, &ada)?;
    assert_eq!(
        form.lines(FIELD)?,
        "*/30 8 1 * * UTC #often\n09:00 MON-FRI Europe/Berlin #review C0123"
    );
    form.type_lines(FIELD, "09:00 MON-FRI Europe/Berlin #review C0123")?;
    assert_eq!(form.save(&mut scene, &ada)?, Value::Null);
    assert_eq!(scene.settings()?[FIELD], json!([review]));
    // What is wrong is shown beside the field, and saves nothing.
    let mut form = Form::open(&mut scene, &ada)?;
    form.values["channels"]["channels"]["value"] = json!("");
    let block = form.block(FIELD)?;
    for (typed, said) in [
        (
            "at nine #review",
            "Line 1: Write a time, days if not each day",
        ),
        (
            "09:00 UTC #a\n0 0 30 2 * UTC #a",
            "Line 2 has a time or time zone that does not exist",
        ),
        (
            "\n09:00 Berlin #a",
            "Line 2 has a time or time zone that does not exist",
        ),
        (
            "09:00 UTC",
            "A line without a channel goes to the channels of merge requests",
        ),
    ] {
        form.type_lines(FIELD, typed)?;
        let answer = form.save(&mut scene, &ada)?;
        let beside = answer["errors"][&block].as_str().unwrap_or_default();
        ensure!(beside.starts_with(said), "{typed}: {answer}");
    }
    assert_eq!(scene.settings()?[FIELD], json!([review]));
    Ok(())
}

#[test]
fn two_who_edit_do_not_lose_reminders_of_each_other() -> Result<()> {
    let mut scene = Scene::new("form_reminders_two")?;
    let ada = scene.ada.clone();
    let (mut one, mut other) = (Form::open(&mut scene, &ada)?, Form::open(&mut scene, &ada)?);
    one.type_lines(FIELD, "09:00 UTC #one")?;
    assert_eq!(one.save(&mut scene, &ada)?, Value::Null);
    other.type_lines(FIELD, "10:00 UTC #other")?;
    let mut again = other.overtaken(&mut scene, &ada)?;
    let words = again.view["blocks"][1]["text"].clone();
    assert_eq!(
        words["text"],
        "Your review reminders were:\n10:00 UTC #other"
    );
    assert_eq!(again.lines(FIELD)?, "09:00 UTC #one");
    again.type_lines(FIELD, "09:00 UTC #one\n10:00 UTC #other")?;
    assert_eq!(again.save(&mut scene, &ada)?, Value::Null);
    // Whoever leaves them alone changes nothing of them.
    let alone = Form::open(&mut scene, &ada)?;
    scene.set(
        "project_id",
        1,
        &json!({ FIELD: [{ "cron": "@daily", "channels": "#new" }] }),
    )?;
    let stored = scene.settings()?[FIELD].clone();
    assert_eq!(alone.save(&mut scene, &ada)?, Value::Null);
    assert_eq!(scene.settings()?[FIELD], stored);
    Ok(())
}

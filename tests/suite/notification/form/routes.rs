//! The routes of the form: a line for each, in their order.

use anyhow::{Context, Result, ensure};
use lockstep_tests::gitlab::push;
use lockstep_tests::host;
use serde_json::{Value, json};

use super::open::Form;
use crate::notification::app::Scene;

#[test]
fn lines_become_routes() -> Result<()> {
    let mut scene = Scene::new("form_routes")?;
    let ada = scene.ada.clone();
    let form = Form::open(&mut scene, &ada)?;
    assert_eq!(form.lines("routes")?, Value::Null);
    form.save(&mut scene, &ada)?;
    assert_eq!(scene.settings()?["routes"], json!([]));
    for (typed, which, routes, shown) in [
        (
            "#releases push, pipeline branches=main,release/*\n\n#docs #general paths=docs/*  ",
            "first",
            json!([
                { "channels": ["#releases"], "events": ["push", "pipeline"], "branches": ["main", "release/*"] },
                { "channels": ["#docs", "#general"], "paths": ["docs/*"] },
            ]),
            "#releases push pipeline branches=main,release/*\n#docs #general paths=docs/*",
        ),
        // Moved, changed and added to.
        (
            "#docs paths=docs/*\n#releases push branches=main\nC0123 severities=high environments=prod",
            "all",
            json!([
                { "channels": ["#docs"], "paths": ["docs/*"] },
                { "channels": ["#releases"], "events": ["push"], "branches": ["main"] },
                { "channels": ["C0123"], "environments": ["prod"], "severities": ["high"] },
            ]),
            "#docs paths=docs/*\n#releases push branches=main\nC0123 environments=prod severities=high",
        ),
        // As people write GitLab's labels and users, with what Slack makes of quotation marks, and what is given twice.
        (
            "#b labels=~bug,“help wanted”,bug Without-Labels=\"a, \\\"b\\\"\" authors=@ada,@bob without_authors=bot Push push",
            "all",
            json!([{
                "channels": ["#b"], "events": ["push"], "labels": ["bug", "help wanted"], "without_labels": ["a, \"b\""],
                "authors": ["ada", "bob"], "without_authors": ["bot"],
            }]),
            "#b push authors=ada,bob labels=bug,\"help wanted\" without_authors=bot without_labels=\"a, \\\"b\\\"\"",
        ),
        (
            "#b merge_request drafts=false\n#b tags=TRUE child_pipelines=true",
            "first",
            json!([
                { "channels": ["#b"], "events": ["merge_request"], "drafts": false },
                { "channels": ["#b"], "tags": true, "child_pipelines": true },
            ]),
            "#b merge_request drafts=false\n#b child_pipelines=true tags=true",
        ),
    ] {
        let mut form = Form::open(&mut scene, &ada)?;
        form.type_lines("routes", typed)?;
        form.choose(which)?;
        assert_eq!(form.save(&mut scene, &ada)?, Value::Null, "{typed}");
        let settings = scene.settings()?;
        assert_eq!(settings["routes"], routes, "{typed}");
        assert_eq!(settings["all_routes"], json!(which == "all"));
        // It is shown as it is typed, and saving what is shown changes nothing.
        let form = Form::open(&mut scene, &ada)?;
        assert_eq!(form.lines("routes")?, json!(shown));
        assert_eq!(form.save(&mut scene, &ada)?, Value::Null);
        assert_eq!(scene.settings()?, settings);
    }
    let mut form = Form::open(&mut scene, &ada)?;
    form.type_lines("routes", "")?;
    form.save(&mut scene, &ada)?;
    assert_eq!(scene.settings()?["routes"], json!([]));
    Ok(())
}

#[test]
fn a_route_of_the_form_takes_events() -> Result<()> {
    let mut scene = Scene::new("form_routes_sent")?;
    let (ada, releases) = (scene.ada.clone(), scene.channel("releases"));
    let general = scene.channel("general");
    let mut form = Form::open(&mut scene, &ada)?;
    form.only_pushes();
    form.values["channels"]["channels"]["value"] = json!("#general");
    form.type_lines("routes", "#releases branches=ma*")?;
    form.save(&mut scene, &ada)?;
    scene.tell(&push(1, "Boil the water"), 1)?;
    assert_eq!(scene.settled(&releases)?.len(), 1);
    assert_eq!(scene.settled(&general)?.len(), 0);
    Ok(())
}

#[test]
fn mistakes_in_routes_name_their_lines() -> Result<()> {
    let mut scene = Scene::new("form_routes_wrong")?;
    let ada = scene.ada.clone();
    scene.set(
        "project_id",
        1,
        &json!({ "routes": [{ "channels": "#before" }] }),
    )?;
    let before = scene.settings()?;
    let mut form = Form::open(&mut scene, &ada)?;
    let block = form.block("routes")?;
    let many: Vec<String> = (0..101).map(|number| format!("l{number}")).collect();
    for (typed, told) in [
        ("#a\n\npush", "Line 3: There is no channel"),
        ("#a pushes", "Line 1: “pushes” is neither a channel"),
        (
            "#a\n#b branch=main",
            "Line 2: “branch=main” is not a condition",
        ),
        ("#a branches=main, dev", "Line 1: “dev” is neither"),
        ("#a drafts=maybe", "Line 1: “drafts=maybe” has to be"),
        ("#a labels=\"a b", "Line 1: “labels=\"a b” has a value"),
        ("#a labels=~", "Line 1: “labels=~” has an empty value"),
        ("#a <!channel>", "Line 1: “<!channel>” is neither"),
        (
            &*format!("{} #k", "#a #b #c #d #e #f #g #h #i #j"),
            "Line 1: There are 11 channels",
        ),
        (&*"#a\n".repeat(51), "There are 51 routes"),
        // The database has the exact rules for names.
        ("#a\n\n#b\u{200b}c", "Line 3 is too long, or contains"),
        (
            &*format!("#a\n#b labels={}", many.join(",")),
            "Line 2 is too long",
        ),
        (
            &*format!("\n#b paths={}", "x".repeat(256)),
            "Line 2 is too long",
        ),
    ] {
        form.type_lines("routes", typed)?;
        let answer = form.save(&mut scene, &ada)?;
        assert_eq!(answer["response_action"], "errors", "{typed}: {answer}");
        let errors = answer["errors"].as_object().context("no errors")?;
        assert_eq!(errors.keys().collect::<Vec<_>>(), [&block], "{typed}");
        let text = errors[&block].as_str().unwrap_or_default();
        ensure!(text.starts_with(told), "{typed}: {text}");
    }
    assert_eq!(scene.settings()?, before);
    Ok(())
}

#[test]
fn who_is_second_sees_what_the_first_has_saved() -> Result<()> {
    let mut scene = Scene::new("form_routes_two")?;
    let ada = scene.ada.clone();
    let (mut one, mut other) = (Form::open(&mut scene, &ada)?, Form::open(&mut scene, &ada)?);
    one.type_lines("routes", "#first")?;
    one.save(&mut scene, &ada)?;
    let first = scene.settings()?;
    // Nothing that would be lost.
    other.type_lines("routes", "#first")?;
    assert_eq!(other.save(&mut scene, &ada)?, Value::Null);
    // What is saved of it would also be what was not seen.
    other.type_lines("routes", "#second labels=\"<a & b>\"")?;
    other.values["labels"]["labels"]["value"] = json!("bug");
    let mut again = other.overtaken(&mut scene, &ada)?;
    assert_eq!(scene.settings()?, first);
    let words = again.view["blocks"][1]["text"].clone();
    assert_eq!(
        words["text"],
        "Your routes were:\n#second labels=\"<a & b>\""
    );
    // The routes are those of the first, all else is as it was typed.
    assert_eq!(again.lines("routes")?, json!("#first"));
    assert_eq!(again.values["labels"]["labels"]["value"], json!("bug"));
    again.type_lines("routes", "#first\n#second")?;
    assert_eq!(again.save(&mut scene, &ada)?, Value::Null);
    let settings = scene.settings()?;
    assert_eq!(
        settings["routes"],
        json!([{ "channels": ["#first"] }, { "channels": ["#second"] }])
    );
    assert_eq!(settings["labels"], json!(["bug"]));

    // Which of those that fit count belongs to them.
    let (mut one, mut other) = (Form::open(&mut scene, &ada)?, Form::open(&mut scene, &ada)?);
    one.choose("all")?;
    one.save(&mut scene, &ada)?;
    other.type_lines("routes", "#second\n#first")?;
    other.overtaken(&mut scene, &ada)?;
    assert_eq!(scene.settings()?["all_routes"], json!(true));

    // Nor are routes removed that nobody has seen.
    scene.connect("group_id", 1)?;
    scene.stage.client.batch_execute(
        "update integrations set inherit_from_id = (select id from integrations where group_id = 1) where project_id = 1",
    )?;
    let mut form = Form::open(&mut scene, &ada)?;
    form.values["inherited"]["inherited"]["selected_options"] = json!([{ "value": "inherited" }]);
    scene.set(
        "project_id",
        1,
        &json!({ "routes": [{ "channels": "#third" }] }),
    )?;
    let form = form.overtaken(&mut scene, &ada)?;
    assert_eq!(form.lines("routes")?, json!("#third"));
    assert_eq!(
        scene.settings()?["routes"],
        json!([{ "channels": ["#third"] }])
    );
    assert_eq!(form.save(&mut scene, &ada)?, Value::Null);
    assert_eq!(scene.settings()?["routes"], json!([]));
    assert_eq!(form.save(&mut scene, &ada)?, Value::Null);
    Ok(())
}

#[test]
fn routes_need_the_right_to_manage() -> Result<()> {
    let mut scene = Scene::new("form_routes_rights")?;
    host::run(&mut scene.stage.client, host::MEMBERS)?;
    let (ada, team) = (scene.ada.clone(), scene.team.clone());
    let cid = scene.stage.slack.create_user(&team, "cid").id;
    let bob = scene.stage.slack.create_user(&team, "bob").id;
    scene.stage.client.batch_execute(&format!(
        "insert into users (id, username, organization_id) values (3, 'cid', 1);
         insert into chat_names (user_id, team_id, chat_id) values (3, '{team}', '{cid}');
         insert into members (access_level, source_id, source_type, user_id) values (40, 1, 'Namespace', 3)"
    ))?;
    let mut old = Form::open(&mut scene, &cid)?;
    let mut form = Form::open(&mut scene, &cid)?;
    form.type_lines("routes", "#cids")?;
    assert_eq!(form.save(&mut scene, &cid)?, Value::Null);
    let settings = scene.settings()?;
    assert_eq!(settings["routes"], json!([{ "channels": ["#cids"] }]));
    // One form is of the routes as they are, and one is not: it would show those.
    let mut fresh = Form::open(&mut scene, &cid)?;
    fresh.type_lines("routes", "#evil")?;
    old.type_lines("routes", "#evil")?;
    scene
        .stage
        .client
        .batch_execute("update users set state = 'blocked' where id = 3")?;
    for form in [&fresh, &old] {
        for user in [&cid, &bob] {
            assert_eq!(form.save(&mut scene, user)?, Value::Null);
        }
    }
    let other = scene.stage.slack.create_workspace("Other").id;
    let eve = scene.stage.slack.create_user(&other, "eve").id;
    scene.team = other;
    for form in [&fresh, &old] {
        assert_eq!(form.save(&mut scene, &eve)?, Value::Null);
    }
    assert_eq!(scene.settings()?, settings);
    scene.team = team;
    // An integration that is gone.
    scene
        .stage
        .client
        .batch_execute("delete from slack_integrations")?;
    for form in [&fresh, &old] {
        assert_eq!(form.save(&mut scene, &ada)?, Value::Null);
    }
    assert_eq!(scene.settings()?, settings);
    Ok(())
}

/// Who manages the integration by a ticket chooses no new channel for what is confidential.
#[test]
fn a_route_for_confidential_events_needs_an_account() -> Result<()> {
    let mut scene = Scene::new("form_routes_confidential")?;
    host::run(&mut scene.stage.client, host::MEMBERS)?;
    let (ada, team) = (scene.ada.clone(), scene.team.clone());
    let before = scene.settings()?;
    let mut form = Form::open(&mut scene, &ada)?;
    form.type_lines("routes", "#new push\n#new confidential_issue")?;
    let answer = form.save(&mut scene, &ada)?;
    let told = answer["errors"][&form.block("routes")?].to_string();
    ensure!(told.contains("also of routes"), "{answer}");
    assert_eq!(scene.settings()?, before);
    // A route that names no events is for none of these.
    form.type_lines("routes", "#new push\n#new")?;
    assert_eq!(form.save(&mut scene, &ada)?, Value::Null);
    scene.stage.client.batch_execute(&format!(
        "insert into users (id, username, organization_id) values (3, 'ada', 1);
         insert into chat_names (user_id, team_id, chat_id) values (3, '{team}', '{ada}');
         insert into members (access_level, source_id, source_type, user_id) values (40, 1, 'Namespace', 3)"
    ))?;
    let mut form = Form::open(&mut scene, &ada)?;
    form.type_lines("routes", "#new confidential_issue")?;
    assert_eq!(form.save(&mut scene, &ada)?, Value::Null);
    assert_eq!(
        scene.settings()?["routes"],
        json!([{ "channels": ["#new"], "events": ["confidential_issue"] }])
    );
    Ok(())
}

#[test]
fn routes_that_the_form_cannot_show_stay() -> Result<()> {
    let mut scene = Scene::new("form_routes_long")?;
    let ada = scene.ada.clone();
    let long: Vec<Value> = (0..50)
        .map(|number| json!({ "channels": [format!("#c{number}")], "labels": vec!["&".repeat(250)] }))
        .collect();
    for routes in [
        json!(long),
        json!([{ "channels": ["#a"], "labels": ["a\nb"] }]),
        json!([{ "channels": ["CABC"] }]),
    ] {
        scene.set("project_id", 1, &json!({ "routes": routes }))?;
        let mut form = Form::open(&mut scene, &ada)?;
        ensure!(form.block("routes").is_err(), "{}", form.values);
        let view = form.view.to_string();
        ensure!(view.contains("They stay unchanged"), "{view}");
        form.choose("all")?;
        form.only_pushes();
        form.values["channels"]["channels"]["value"] = json!("#other");
        assert_eq!(form.save(&mut scene, &ada)?, Value::Null);
        let settings = scene.settings()?;
        assert_eq!(settings["routes"], routes);
        assert_eq!(settings["channels"], json!(["#other"]));
        assert_eq!(settings["all_routes"], json!(true));
        scene.set("project_id", 1, &json!({ "all_routes": false }))?;
    }
    Ok(())
}

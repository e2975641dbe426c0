//! Which workspaces may install the app, and who is notified.

use anyhow::{Result, ensure};
use lockstep_tests::host;
use lockstep_tests::http::Reply;
use lockstep_tests::slack::{App, Decision};

use crate::concurrency::PATIENCE;
use crate::service_account::number;
use crate::slack_app::{Sidecar, Stage, command, install};

fn assert_refused(reply: &Reply) -> Result<()> {
    let text = reply.text();
    ensure!(
        reply.status == 403
            && text.contains("does not have the app yet")
            && text.contains("maintainer"),
        "{} {text}",
        reply.status
    );
    Ok(())
}

fn installations(stage: &mut Stage) -> Result<i64> {
    number(
        &mut stage.client,
        "select count(*) from lockstep_internal.slack_installation",
    )
}

#[test]
fn an_unknown_workspace_needs_a_ticket() -> Result<()> {
    let mut stage = Stage::set("app_allowed")?;
    let team = stage.slack.create_workspace("Acme");
    stage.slack.create_user(&team.id, "eve");
    assert_refused(&stage.install("")?)?;
    assert_eq!(installations(&mut stage)?, 0);
    assert_eq!(
        stage.slack.calls_of("auth.revoke").len(),
        1,
        "the app stays there"
    );
    let log = stage.sidecar.log();
    ensure!(
        log.contains("--workspace") && log.contains(&team.id) && !log.contains("xoxb"),
        "{log}"
    );
    ensure!(
        stage
            .sidecar
            .metric(&["lockstep_slack_installs_total", "unknown_workspace"])?
            > 0.5
    );
    // With a ticket it may, and from then on it is known.
    stage.connect(1)?;
    assert_eq!(stage.install("")?.status, 200);
    assert_eq!(installations(&mut stage)?, 1);
    assert_eq!(stage.slack.calls_of("auth.revoke").len(), 1);
    Ok(())
}

#[test]
fn workspaces_of_the_list_may_install() -> Result<()> {
    let mut stage = Stage::set("app_allowed_list")?;
    let acme = stage.slack.create_workspace("Acme");
    let globex = stage.slack.create_enterprise("Globex");
    let east = stage.slack.create_workspace_in(&globex.id, "Globex East");
    let other = stage.slack.create_workspace("Other");
    let list = [
        format!("--workspace={}", acme.id),
        format!("--workspace={}", globex.id),
    ];
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    let listed = Sidecar::start(&stage.url, &stage.slack, &list)?;
    let any = Sidecar::start(&stage.url, &stage.slack, &["--any-workspace"])?;
    for (sidecar, tenant, is_allowed) in [
        (&listed, &other.id, false),
        (&listed, &acme.id, true),
        (&listed, &east.id, true),
        (&listed, &globex.id, true),
        (&any, &other.id, true),
    ] {
        let of = if *tenant == globex.id {
            &east.id
        } else {
            tenant
        };
        let user = stage.slack.create_user(of, "ada").id;
        let tenant = tenant.clone();
        stage.slack.decide(Decision::Approve { tenant, user });
        let reply = install(sidecar, "")?;
        match is_allowed {
            true => ensure!(reply.status == 200, "{of}: {}", reply.text()),
            false => assert_refused(&reply)?,
        }
    }
    assert_eq!(installations(&mut stage)?, 4);
    let mut check = command("check", &stage.url, &stage.slack);
    check.args([
        "--offline",
        "--public-url=http://127.0.0.1:1",
        "--workspace=acme",
    ]);
    let said = String::from_utf8_lossy(&check.output()?.stdout).into_owned();
    ensure!(
        said.contains("LOCKSTEP_WORKSPACES") && said.contains("acme"),
        "{said}"
    );
    Ok(())
}

/// Whoever manages a project in the workspace hears of a renewal, by whom, and nobody else does.
#[test]
fn managers_hear_of_a_renewal() -> Result<()> {
    let mut stage = Stage::set("app_notice")?;
    let team = stage.slack.create_workspace("Acme").id;
    let [ada, bob, cem, eve] =
        ["ada", "bob", "cem", "eve"].map(|name| stage.slack.create_user(&team, name).id);
    host::run(&mut stage.client, host::MEMBERS)?;
    stage.client.batch_execute(&format!(
        "insert into users (id, username, organization_id) values (903, 'bob', 1), (904, 'cem', 1);
         insert into chat_names (user_id, team_id, chat_id) values (903, '{team}', '{bob}'), (904, '{team}', '{cem}');
         insert into members (access_level, source_id, source_type, user_id) values (40, 1, 'Project', 903), (30, 1, 'Project', 904)"
    ))?;
    let by = |user: &str| Decision::Approve {
        tenant: team.clone(),
        user: user.to_owned(),
    };
    stage.slack.decide(by(&ada));
    stage.connect(1)?;
    assert_eq!(
        number(
            &mut stage.client,
            "select count(*) from lockstep_internal.job"
        )?,
        0
    );
    stage.slack.decide(by(&eve));
    assert_eq!(stage.install("")?.status, 200);
    ensure!(
        stage.slack.wait_for_calls("chat.postMessage", 2, PATIENCE),
        "{}",
        stage.sidecar.log()
    );
    stage.wait_for("select not exists (select from lockstep_internal.job)")?;
    for (user, is_told) in [(&ada, true), (&bob, true), (&cem, false), (&eve, false)] {
        let direct = stage.slack.direct(user);
        let messages = direct.map_or_else(Vec::new, |it| stage.slack.messages(&it.id));
        assert_eq!(messages.len(), usize::from(is_told), "{user}");
        for message in messages {
            ensure!(
                message.text.contains(&format!("<@{eve}>")) && message.text.contains("<!date^"),
                "{}",
                message.text
            );
        }
    }
    Ok(())
}

/// Without linked accounts nobody is notified, and of very many only some.
#[test]
fn notices_are_bounded() -> Result<()> {
    let mut stage = Stage::set_with("app_notice_many", App::default(), &["--job-concurrency=0"])?;
    let team = stage.slack.create_workspace("Acme").id;
    stage.slack.create_user(&team, "ada");
    stage.connect(1)?;
    assert_eq!(stage.install("")?.status, 200);
    assert_eq!(
        number(
            &mut stage.client,
            "select count(*) from lockstep_internal.job"
        )?,
        0
    );
    host::run(&mut stage.client, host::MEMBERS)?;
    stage.client.batch_execute(&format!(
        "insert into users (id, username, organization_id) select n, 'u' || n, 1 from generate_series(1000, 1999) n;
         insert into chat_names (user_id, team_id, chat_id) select n, '{team}', 'U' || n from generate_series(1000, 1999) n;
         insert into members (access_level, source_id, source_type, user_id) select 40, 1, 'Namespace', n from generate_series(1000, 1999) n"
    ))?;
    assert_eq!(stage.install("")?.status, 200);
    assert_eq!(
        number(
            &mut stage.client,
            "select count(*) from lockstep_internal.job"
        )?,
        50
    );
    // Accounts that cannot be read keep nobody from renewing.
    stage
        .client
        .batch_execute("drop table chat_names; delete from lockstep_internal.job")?;
    assert_eq!(stage.install("")?.status, 200);
    Ok(())
}

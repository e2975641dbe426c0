//! Refused installations: the app stays in no workspace that has no installation here, and in each that has one.

use anyhow::{Context, Result, ensure};
use lockstep_tests::http::Reply;
use lockstep_tests::slack::{App, Decision};

use crate::slack_app::{Stage, cookie_of, http, way_to_slack};

/// A browser that comes back from Slack.
struct Back {
    cookie: String,
    address: String,
}

impl Back {
    fn of(stage: &Stage, ticket: &str, (team, user): (&str, &str)) -> Result<Self> {
        let begun = http().get(
            &format!("{}/slack/install?ticket={ticket}", stage.sidecar.base),
            &[],
        )?;
        stage.slack.decide(Decision::Approve {
            tenant: team.to_owned(),
            user: user.to_owned(),
        });
        let consent = http().get(&way_to_slack(&begun)?, &[])?;
        let address = consent.header("location").context("Slack leads nowhere")?;
        Ok(Self {
            cookie: cookie_of(&begun)?,
            address: address.to_owned(),
        })
    }

    fn finish(&self) -> Result<Reply> {
        http().get(&self.address, &[("cookie", &self.cookie)])
    }
}

/// The finished installation is refused, and this many tokens have been revoked so far.
fn assert_refused(stage: &Stage, reply: &Reply, status: u16, revoked: usize) -> Result<()> {
    ensure!(reply.status == status, "{} {}", reply.status, reply.text());
    let calls = stage.slack.calls_of("auth.revoke");
    ensure!(calls.len() == revoked, "{calls:?}\n{}", stage.sidecar.log());
    Ok(())
}

#[test]
fn a_ticket_that_ends_on_the_way_leaves_no_token() -> Result<()> {
    let mut stage = Stage::set("app_revoked_ticket")?;
    let [acme, other] = ["Acme", "Other"].map(|name| stage.slack.create_workspace(name).id);
    let [ada, eve] = [&acme, &other].map(|team| stage.slack.create_user(team, "ada").id);
    let (ada, eve) = (
        (acme.as_str(), ada.as_str()),
        (other.as_str(), eve.as_str()),
    );
    // Whoever finishes second may be a stranger.
    let ticket = stage.ticket(1)?;
    let (first, second) = (
        Back::of(&stage, &ticket, ada)?,
        Back::of(&stage, &ticket, eve)?,
    );
    let reply = first.finish()?;
    ensure!(reply.status == 200, "{}", reply.text());
    assert_refused(&stage, &second.finish()?, 400, 1)?;
    // The project is gone.
    let ticket = stage.ticket(2)?;
    let back = Back::of(&stage, &ticket, eve)?;
    stage
        .client
        .batch_execute("delete from projects where id = 2")?;
    assert_refused(&stage, &back.finish()?, 400, 2)?;
    // A workspace that has the app keeps it.
    let ticket = stage.ticket(3)?;
    let (first, second) = (
        Back::of(&stage, &ticket, ada)?,
        Back::of(&stage, &ticket, ada)?,
    );
    let reply = first.finish()?;
    ensure!(reply.status == 200, "{}", reply.text());
    assert_refused(&stage, &second.finish()?, 400, 2)
}

#[test]
fn a_taken_alias_leaves_no_token() -> Result<()> {
    let mut stage = Stage::set("app_revoked_alias")?;
    let team = stage.slack.create_workspace("Acme");
    stage.slack.create_user(&team.id, "ada");
    stage.connect(1)?;
    let query = "select lockstep.issue_slack_install_ticket(project_id => 2, alias => 'group/one')";
    let install = |stage: &mut Stage| -> Result<Reply> {
        let ticket: String = stage.client.query_one(query, &[])?.get(0);
        stage.install(&format!("?ticket={ticket}"))
    };
    let reply = install(&mut stage)?;
    assert_refused(&stage, &reply, 409, 0)?;
    // A row of which no token is left.
    stage.client.batch_execute(
        "delete from lockstep_internal.slack_installation;
         update slack_integrations set encrypted_bot_access_token = null, encrypted_bot_access_token_iv = null",
    )?;
    let reply = install(&mut stage)?;
    assert_refused(&stage, &reply, 409, 1)
}

#[test]
fn what_cannot_be_stored_leaves_no_token() -> Result<()> {
    let mut stage = Stage::set("app_revoked_unstorable")?;
    stage.client.batch_execute(
        "create function refuse() returns trigger language plpgsql as
           $$begin raise exception using errcode = 'check_violation'; end$$;
         create trigger refuse before insert on lockstep_internal.slack_installation for each row execute function refuse()",
    )?;
    let team = stage.slack.create_workspace("Acme");
    stage.slack.create_user(&team.id, "ada");
    let ticket = stage.ticket(1)?;
    let reply = stage.install(&format!("?ticket={ticket}"))?;
    assert_refused(&stage, &reply, 500, 1)
}

/// Slack gives something else than a bot's token.
#[test]
fn a_response_that_cannot_be_used_leaves_no_token() -> Result<()> {
    let app = App {
        token_type: "user".to_owned(),
        ..App::default()
    };
    let mut stage = Stage::set_with("app_revoked_user", app, &[])?;
    let team = stage.slack.create_workspace("Acme");
    stage.slack.create_user(&team.id, "ada");
    let ticket = stage.ticket(1)?;
    let reply = stage.install(&format!("?ticket={ticket}"))?;
    assert_refused(&stage, &reply, 502, 1)
}

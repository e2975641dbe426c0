//! Installations that fail, or go on beside others.

use anyhow::{Context, Result, ensure};
use lockstep_tests::http::Reply;
use lockstep_tests::slack::{App, Decision, Fault};

use crate::slack_app::install::rows;
use crate::slack_app::{Stage, cookie_of, http};

/// An error page that deletes the cookie.
fn assert_trouble(reply: &Reply, status: u16, words: &str) -> Result<()> {
    let text = reply.text();
    ensure!(
        reply.status == status && text.contains(words),
        "{} {text}",
        reply.status
    );
    let cookie = reply.header("set-cookie").context("no cookie")?;
    ensure!(cookie.contains("Max-Age=0"), "{cookie}");
    ensure!(
        reply.header("referrer-policy") == Some("no-referrer"),
        "{:?}",
        reply.headers
    );
    Ok(())
}

/// A browser that has started, and is redirected back by Slack.
struct Begun {
    cookie: String,
    back: String,
}

fn begin(stage: &Stage) -> Result<Begun> {
    let begun = http().get(&format!("{}/slack/install", stage.sidecar.base), &[])?;
    let cookie = begun.header("set-cookie").context("no cookie")?;
    for words in [
        "HttpOnly",
        "SameSite=Lax",
        "Path=/slack/install",
        "Max-Age=600",
    ] {
        ensure!(cookie.contains(words), "{cookie}");
    }
    let consent = http().get(begun.header("location").context("no location")?, &[])?;
    Ok(Begun {
        cookie: cookie_of(&begun)?,
        back: consent
            .header("location")
            .context("Slack leads nowhere")?
            .to_owned(),
    })
}

impl Begun {
    fn finish(&self) -> Result<Reply> {
        http().get(&self.back, &[("cookie", &self.cookie)])
    }
}

#[test]
fn installations_that_come_to_nothing_say_what_to_do() -> Result<()> {
    let mut stage = Stage::set_with("app_troubles", App::default(), &["--any-workspace"])?;
    let team = stage.slack.create_workspace("Acme");
    stage.slack.create_user(&team.id, "ada");

    let begun = begin(&stage)?;
    let other = begin(&stage)?;
    let crossed = http().get(&begun.back, &[("cookie", &other.cookie)])?;
    assert_trouble(&crossed, 400, "This started in another browser")?;
    assert_trouble(
        &http().get(&begun.back, &[])?,
        400,
        "This started in another browser",
    )?;
    // That did not use it up, but this does.
    assert_eq!(begun.finish()?.status, 200);
    assert_trouble(&begun.finish()?, 400, "already ended")?;

    stage.client.batch_execute(
        "update lockstep_internal.slack_install_state set expires_at = now() - interval '1 second'",
    )?;
    assert_trouble(&other.finish()?, 400, "took too long")?;
    let base = &stage.sidecar.base;
    assert_trouble(
        &http().get(&format!("{base}/slack/install/callback?code=c"), &[])?,
        400,
        "Start here",
    )?;
    let forged = format!(
        "{base}/slack/install/callback?code=c&state={}",
        "A".repeat(43)
    );
    assert_trouble(
        &http().get(&forged, &[("cookie", &other.cookie)])?,
        400,
        "This started in another browser",
    )?;
    let unknown = http().get(&format!("{base}/slack/install?ticket=unknown"), &[])?;
    ensure!(unknown.status == 400 && unknown.text().contains("no longer valid"));

    stage.slack.decide(Decision::Deny);
    assert_trouble(&begin(&stage)?.finish()?, 200, "Nothing was installed")?;
    stage.slack.decide(Decision::ApproveFirst);

    for (fault, words) in [
        (Fault::Status(500), "Slack does not respond at the moment"),
        (
            Fault::RateLimited(30),
            "Slack does not respond at the moment",
        ),
        (Fault::ClosedBefore, "Slack does not respond at the moment"),
        (Fault::ClosedAfter, "Slack does not respond at the moment"),
        (Fault::Garbage, "Slack does not respond at the moment"),
        (Fault::Error("bad_client_secret"), "did not give access"),
        (Fault::Error("invalid_code"), "already ended"),
    ] {
        let begun = begin(&stage)?;
        stage.slack.fail("oauth.v2.access", fault, Some(1));
        let reply = begun.finish()?;
        let status = if words.contains("ended") { 400 } else { 502 };
        assert_trouble(&reply, status, words)?;
    }
    // The installation in between was not for a project.
    assert_eq!(rows(&mut stage.client)?, [""; 0]);
    Ok(())
}

/// Two installations started in two tabs of a browser can both be finished.
#[test]
fn several_installations_go_on_in_one_browser() -> Result<()> {
    let stage = Stage::set_with("app_tabs", App::default(), &["--any-workspace"])?;
    let team = stage.slack.create_workspace("Acme");
    stage.slack.create_user(&team.id, "ada");
    let tabs = [begin(&stage)?, begin(&stage)?];
    let cookies = format!("{}; {}", tabs[0].cookie, tabs[1].cookie);
    for tab in &tabs {
        let finished = http().get(&tab.back, &[("cookie", &cookies)])?;
        ensure!(finished.status == 200, "{}", finished.text());
    }
    Ok(())
}

/// What cannot be a ticket is none, and what the database never takes is tried once.
#[test]
fn what_the_database_can_never_take_is_told_at_once() -> Result<()> {
    let mut stage = Stage::set_with("app_never_stored", App::default(), &["--any-workspace"])?;
    let base = stage.sidecar.base.clone();
    let long = "f".repeat(1000);
    for ticket in ["%00", "a%00b", "%F0%9F%98%80", "%27%20or%20true", &long] {
        let reply = http().get(&format!("{base}/slack/install?ticket={ticket}"), &[])?;
        ensure!(
            reply.status == 400 && reply.text().contains("no longer valid"),
            "{ticket} {}",
            reply.text()
        );
    }
    let team = stage.slack.create_workspace("Ac\0me");
    stage.slack.create_user(&team.id, "ada");
    assert_trouble(&begin(&stage)?.finish()?, 500, "The database refused it")?;
    stage.client.batch_execute(
        "create function refuse() returns trigger language plpgsql as
           $$begin raise exception using errcode = 'check_violation'; end$$;
         create trigger refuse before insert on lockstep_internal.slack_installation for each row execute function refuse()",
    )?;
    let other = stage.slack.create_workspace("Other");
    let user = stage.slack.create_user(&other.id, "bob").id;
    stage.slack.decide(Decision::Approve {
        tenant: other.id,
        user,
    });
    assert_trouble(&begin(&stage)?.finish()?, 500, "The database refused it")?;
    let log = stage.sidecar.log();
    let told = log.matches("an installation failed").count();
    ensure!(told == 2 && !log.contains("is not stored yet"), "{log}");
    Ok(())
}

/// A conflict of a moment is none.
#[test]
fn what_the_database_takes_later_is_tried_again() -> Result<()> {
    let mut stage = Stage::set_with("app_stored_later", App::default(), &["--any-workspace"])?;
    stage.client.batch_execute(
        "create sequence tries;
         grant usage on sequence tries to public;
         create function refuse() returns trigger language plpgsql as
           $$begin if pg_catalog.nextval('public.tries') < 3 then raise exception using errcode = 'deadlock_detected'; end if; return new; end$$;
         create trigger refuse before insert on lockstep_internal.slack_installation for each row execute function refuse()",
    )?;
    let team = stage.slack.create_workspace("Acme");
    stage.slack.create_user(&team.id, "ada");
    let reply = begin(&stage)?.finish()?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    Ok(())
}

#[test]
fn alias_that_is_taken_is_told() -> Result<()> {
    let mut stage = Stage::set_with("app_alias_taken", App::default(), &[])?;
    let team = stage.slack.create_workspace("Acme");
    stage.slack.create_user(&team.id, "ada");
    stage.connect(1)?;
    let query = "select lockstep.issue_slack_install_ticket(project_id => 2, alias => 'group/one')";
    let ticket: String = stage.client.query_one(query, &[])?.get(0);
    let reply = stage.install(&format!("?ticket={ticket}"))?;
    assert_trouble(&reply, 409, "The alias is taken")?;
    // The page has the id of its request, and so has the log's line.
    let of_request = reply.header("x-request-id").unwrap_or_default();
    stage
        .sidecar
        .wait_for_log("an installation is not stored")?;
    let log = stage.sidecar.log();
    let is_logged = log
        .lines()
        .any(|line| line.contains("an installation is not stored") && line.contains(of_request));
    ensure!(is_logged && reply.text().contains(of_request), "{log}");
    assert_eq!(rows(&mut stage.client)?.len(), 1);
    Ok(())
}

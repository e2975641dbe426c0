//! The database holds the truth: whatever stops and restarts, nothing is lost.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use lockstep_tests::cluster::Cluster;
use lockstep_tests::gitlab::{Webhook, push};
use lockstep_tests::host::{self, Layout};
use lockstep_tests::slack::{App, FakeSlack, Fault, Message};
use nix::sys::signal::Signal;
use postgres::Client;
use serde_json::json;

use crate::concurrency::PATIENCE;
use crate::notification::app::TOKEN;
use crate::service_account::number;
use crate::slack_app::{Sidecar, install};

const POST: &str = "chat.postMessage";
const EVENTS: usize = 12;

/// Its own server, to stop and start.
struct Place {
    cluster: Cluster,
    slack: FakeSlack,
    channels: [String; 2],
}

impl Place {
    fn sidecar(&self) -> Result<Sidecar> {
        let token = format!("--gitlab-token={TOKEN}");
        let sidecar = Sidecar::start(&self.cluster.address("app"), &self.slack, &[&token])?;
        sidecar.wait_until_ready()?;
        Ok(sidecar)
    }

    fn new(name: &str) -> Result<(Self, Client, Sidecar)> {
        let cluster = Cluster::start(name, &[])?;
        let mut client = cluster.create_database("app")?;
        host::create(&mut client, Layout::Narrow)?;
        client.batch_execute(
            "create extension lockstep_slack cascade;
             do $$begin perform lockstep.attach(); perform lockstep.attach_slack(); end$$;
             insert into projects (id, name, path, namespace_id) values (1, 'One', 'one', 1)",
        )?;
        let slack = FakeSlack::start(App::default())?;
        let team = slack.create_workspace("Acme").id;
        slack.create_user(&team, "ada");
        let channels = ["general", "other"].map(|name| slack.create_channel(&team, name).id);
        let place = Self {
            cluster,
            slack,
            channels,
        };
        let sidecar = place.sidecar()?;
        let query = "select lockstep.issue_slack_install_ticket(project_id => 1)";
        let ticket: String = client.query_one(query, &[])?.get(0);
        ensure!(install(&sidecar, &format!("?ticket={ticket}"))?.status == 200);
        client.batch_execute(
            "update integrations set push_events = true;
             select lockstep.set_slack_notifications(id, '{\"channels\": [\"#general\", \"#other\"]}') from integrations",
        )?;
        Ok((place, client, sidecar))
    }

    /// Waits until everything has been sent.
    fn settle(&self, client: &mut Client, sidecar: &Sidecar) -> Result<()> {
        let begun = Instant::now();
        let waiting =
            "select count(*) from lockstep_internal.slack_delivery where status = 'waiting'";
        while number(client, waiting)? > 0 {
            ensure!(begun.elapsed() < PATIENCE * 2, "{}", sidecar.log());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        Ok(())
    }
}

/// The event of a message: the title of its commit contains the number.
pub(crate) fn event_of(message: &Message) -> Result<String> {
    let sent = message.sent.to_string();
    let found = sent
        .find("event-")
        .and_then(|place| sent.get(place..place + 12));
    Ok(found.context(sent.clone())?.to_owned())
}

#[test]
fn nothing_is_forgotten_when_all_restart() -> Result<()> {
    let (mut place, client, sidecar) = Place::new("notification_restart")?;
    let webhook = Webhook::new(&sidecar.base, PATIENCE).with_token(TOKEN);
    // Slack fails, so that some deliveries are in flight, some wait for a retry, and most have not been tried.
    place.slack.fail(POST, Fault::Status(503), Some(3));
    for number in 0..EVENTS {
        let reply = webhook.send(&push(1, &format!("event-{number:06}")))?;
        ensure!(
            reply.status == 200 && reply.json()? == json!({ "deliveries": 2 }),
            "{}",
            reply.text()
        );
    }
    ensure!(
        place
            .slack
            .wait_for_messages_in(&place.channels[0], 1, PATIENCE),
        "{}",
        sidecar.log()
    );
    sidecar.signal(Signal::SIGKILL)?;
    let (_, _) = sidecar.end()?;
    place.cluster.kill_postmaster()?;
    drop(client);
    place.cluster.resume()?;
    let sidecar = place.sidecar()?;
    let mut client = place.cluster.connect("app")?;
    place.settle(&mut client, &sidecar)?;
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep_internal.slack_delivery where status = 'delivered'"
        )?,
        2 * i64::try_from(EVENTS)?
    );
    let uncertain =
        "select coalesce(sum(uncertain), 0)::bigint from lockstep_internal.slack_delivery";
    let uncertain = usize::try_from(number(&mut client, uncertain)?)?;
    // At most one message per channel was in flight.
    ensure!(uncertain <= 2, "{uncertain} are uncertain");
    let mut copies = 0;
    for channel in &place.channels {
        let mut told: Vec<String> = Vec::new();
        for message in place.slack.messages(channel) {
            told.push(event_of(&message)?);
        }
        copies += told.len();
        told.dedup();
        let all: Vec<String> = (0..EVENTS)
            .map(|number| format!("event-{number:06}"))
            .collect();
        assert_eq!(told, all);
    }
    ensure!(
        copies <= 2 * EVENTS + uncertain,
        "{copies} messages, {uncertain} uncertain"
    );
    Ok(())
}

/// A database without a sidecar stores what is to be sent; a sidecar that stops cleanly leaves nothing uncertain.
#[test]
fn what_is_published_without_a_sidecar_is_told_later() -> Result<()> {
    let (mut place, mut client, sidecar) = Place::new("notification_later")?;
    sidecar.signal(Signal::SIGTERM)?;
    let (status, log) = sidecar.end()?;
    ensure!(status == Some(0), "{log}");
    for number in 0..EVENTS {
        let event = push(1, &format!("event-{number:06}")).to_string();
        let query = "select outcome, channels from lockstep.publish_event($1::text::jsonb)";
        let rows = client.query(query, &[&event])?;
        let outcome: String = rows[0].get(0);
        let channels: Vec<String> = rows[0].get(1);
        assert_eq!((rows.len(), &*outcome), (1, "queued"));
        assert_eq!(channels, ["#general", "#other"]);
    }
    place.cluster.stop()?;
    place.cluster.resume()?;
    let sidecar = place.sidecar()?;
    ensure!(
        place
            .slack
            .wait_for_messages_in(&place.channels[1], 2, PATIENCE),
        "{}",
        sidecar.log()
    );
    sidecar.signal(Signal::SIGTERM)?;
    let (status, log) = sidecar.end()?;
    ensure!(status == Some(0), "{log}");
    let sidecar = place.sidecar()?;
    let mut client = place.cluster.connect("app")?;
    place.settle(&mut client, &sidecar)?;
    for channel in &place.channels {
        assert_eq!(place.slack.messages(channel).len(), EVENTS);
    }
    let doubtful =
        "select count(*) from lockstep_internal.slack_delivery where uncertain > 0 or attempts > 0";
    assert_eq!(number(&mut client, doubtful)?, 0);
    Ok(())
}

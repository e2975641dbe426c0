//! The setup for chaos: projects with channels, sidecars that may be killed, publishers that do not give up.

use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::sync::{Mutex, RwLock};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use lockstep_tests::gitlab::{Webhook, push};
use lockstep_tests::slack::{Decision, FakeSlack};
use nix::sys::signal::Signal;
use postgres::Client;
use serde_json::{Value, json};

use crate::database::cluster;
use crate::notification::app::TOKEN;
use crate::random::plan::Dice;
use crate::service_account::number;
use crate::slack_app::{Sidecar, Stage};

const WORKSPACES: i64 = 50;
pub(crate) const PROJECTS: i64 = 250;
/// Each project has one channel, and some have another one.
const WITH_TWO: i64 = 50;
pub(crate) const EVENTS: i64 = 20;
pub(crate) const FIRST: i64 = 1_000;

pub(crate) const SIDECARS: usize = 3;
pub(crate) const PUBLISHERS: i64 = 5;
/// The maximum number of a sidecar's messages in flight.
pub(crate) const UNDER_WAY: usize = 64;

/// Longer than Slack, with these failures, needs for the messages of one channel.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// A channel of the plan, and the project that notifies it.
pub(crate) struct Told {
    /// Its name in settings.
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) project: i64,
}

/// Some sidecars, any of which may be killed at any time and is restarted at the same address.
pub(crate) struct Herd {
    sidecars: Vec<RwLock<Sidecar>>,
    ports: Vec<u16>,
    /// From the signal to the successor's start: in between, the others notice the death, and requests of the dead still arrive.
    pub(crate) kills: Mutex<Vec<RangeInclusive<SystemTime>>>,
}

impl Herd {
    pub(crate) fn start(url: &str, slack: &FakeSlack) -> Result<Self> {
        let mut sidecars = Vec::new();
        let mut ports = Vec::new();
        for _ in 0..SIDECARS {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            sidecars.push(RwLock::new(Self::sidecar(port, url, slack)?));
            ports.push(port);
        }
        Ok(Self {
            sidecars,
            ports,
            kills: Mutex::default(),
        })
    }

    fn sidecar(port: u16, url: &str, slack: &FakeSlack) -> Result<Sidecar> {
        let token = format!("--gitlab-token={TOKEN}");
        let deliveries = format!("--deliveries={UNDER_WAY}");
        Sidecar::start_on(port, url, slack, &[&token, &deliveries])
    }

    pub(crate) fn kill(&self, which: usize, url: &str, slack: &FakeSlack) -> Result<()> {
        let mut sidecar = self.sidecars[which].write().ok().context("poisoned")?;
        let signalled = SystemTime::now();
        sidecar.signal(Signal::SIGKILL)?;
        // The dead one frees the address before the new one uses it.
        sidecar.wait_until_dead()?;
        *sidecar = Self::sidecar(self.ports[which], url, slack)?;
        let mut kills = self.kills.lock().ok().context("poisoned")?;
        kills.push(signalled..=SystemTime::now());
        Ok(())
    }

    pub(crate) fn logs(&self) -> String {
        let logs = self
            .sidecars
            .iter()
            .filter_map(|sidecar| sidecar.read().ok());
        logs.map(|sidecar| sidecar.log()).collect()
    }
}

/// Projects 1,000 and on, in workspaces with the app, each with its channels.
pub(crate) fn lay_out(stage: &mut Stage) -> Result<Vec<Told>> {
    stage.client.batch_execute(&format!(
        "insert into projects (id, name, path, namespace_id)
         select n, 'P' || n, 'p' || n, 1 from generate_series({FIRST}, {FIRST} + {PROJECTS} - 1) n"
    ))?;
    let mut teams = Vec::new();
    for number in 0..WORKSPACES {
        let team = stage.slack.create_workspace(&format!("W{number}")).id;
        let user = stage.slack.create_user(&team, "ada").id;
        stage.slack.decide(Decision::Approve {
            tenant: team.clone(),
            user,
        });
        stage.connect(FIRST + number)?;
        teams.push(team);
    }
    let mut told = Vec::new();
    for (place, project) in (0..).zip(FIRST..FIRST + PROJECTS) {
        let team = &teams[usize::try_from(place % WORKSPACES)?];
        stage.client.execute(
            "select lockstep.install_slack_workspace(s.team_id, s.team_name, s.user_id, s.bot_user_id, s.encrypted_bot_access_token,
                      s.encrypted_bot_access_token_iv, '{chat:write, chat:write.public, commands}', project_id => $2)
               from (select * from slack_integrations where team_id = $1 order by id limit 1) s
              where not exists (select from integrations i where i.project_id = $2)",
            &[team, &project],
        )?;
        let suffixes: &[&str] = match place < WITH_TWO {
            true => &["", "-too"],
            false => &[""],
        };
        let names: Vec<String> = suffixes
            .iter()
            .map(|suffix| format!("#p{project}{suffix}"))
            .collect();
        for name in &names {
            let id = stage
                .slack
                .create_channel(team, name.trim_start_matches('#'))
                .id;
            let name = name.clone();
            told.push(Told { name, id, project });
        }
        stage.client.execute(
            "select lockstep.set_slack_notifications(i.id, $2::text::jsonb) from integrations i where i.project_id = $1",
            &[&project, &json!({ "channels": names }).to_string()],
        )?;
    }
    stage
        .client
        .batch_execute("update integrations set push_events = true; analyze")?;
    stage.client.batch_execute(LEASES)?;
    Ok(told)
}

/// Records when each lease of a channel was given, and until when the channel was to be left alone.
const LEASES: &str = "
create table lease_given (id bigint generated always as identity, channel bigint, at timestamptz, not_before timestamptz, next_not_before timestamptz);
create function take_down() returns trigger language plpgsql security definer set search_path = public as $$
begin
  insert into lease_given (channel, at, not_before, next_not_before) values (new.id, clock_timestamp(), old.not_before, new.not_before);
  return new;
end $$;
create trigger take_down before update of lease on lockstep_internal.slack_channel for each row
  when (new.lease is not null and new.lease is distinct from old.lease) execute function take_down()";

/// Checks that no lease was given too early, and that each moved the time of the next one: the pace of a channel, by the
/// database's clock alone.
pub(crate) fn assert_paced(client: &mut Client) -> Result<()> {
    let too_soon = "select string_agg(concat_ws(' ', l.channel, l.at, l.not_before, l.before), '; ') from (
                      select *, lag(next_not_before) over (partition by channel order by id) as before from lease_given) l
                     where l.at < l.not_before or l.next_not_before <= l.not_before or l.not_before < l.before";
    let row = client.query_one(too_soon, &[])?;
    let found: Option<String> = row.get(0);
    ensure!(found.is_none(), "too soon: {found:?}");
    ensure!(
        number(client, "select count(*) from lease_given")? > 0,
        "no lease was given"
    );
    Ok(())
}

pub(crate) fn title(project: i64, event: i64) -> String {
    format!("event-{:06}", (project - FIRST) * EVENTS + event)
}

/// A publisher's observations.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    by_webhook: usize,
    by_sql: usize,
    /// Events it had to send again, because there was no response.
    unanswered: usize,
    duplicates: usize,
}

/// Publishes the events of every fifth project one after the other: the order within a project is the publisher's. Without a
/// response it sends again under the same key, like GitLab, to any sidecar; some are sent twice for no reason.
pub(crate) fn publish(publisher: i64, seed: u64, herd: &Herd, database: &str) -> Result<Seen> {
    let mut dice = Dice::new(seed, u64::try_from(publisher)?);
    let mut client = cluster()?.connect(database)?;
    let webhooks: Vec<Webhook> = herd
        .ports
        .iter()
        .map(|port| {
            let base = format!("http://127.0.0.1:{port}");
            Webhook::new(&base, Duration::from_secs(20)).with_token(TOKEN)
        })
        .collect();
    let mut seen = Seen::default();
    for event in 0..EVENTS {
        for project in (FIRST..FIRST + PROJECTS).filter(|project| project % PUBLISHERS == publisher)
        {
            let name = title(project, event);
            let payload = push(project, &name);
            // A repetition uses the same way: keys of different ways are independent.
            let is_by_sql = dice.below(100) < 30;
            let times = 1 + usize::from(dice.below(100) < 2);
            for _ in 0..times {
                if is_by_sql {
                    let query =
                        "select count(*) from lockstep.publish_event($1::text::jsonb, key => $2)";
                    client.execute(query, &[&payload.to_string(), &name])?;
                    seen.by_sql += 1;
                } else {
                    post(&mut dice, &webhooks, &name, &payload, &mut seen)?;
                    seen.by_webhook += 1;
                }
            }
        }
    }
    Ok(seen)
}

fn post(
    dice: &mut Dice,
    webhooks: &[Webhook],
    key: &str,
    payload: &Value,
    seen: &mut Seen,
) -> Result<()> {
    let begun = Instant::now();
    loop {
        let webhook = dice.below(webhooks.len() as u64);
        let reply = webhooks[usize::try_from(webhook)?].send_as(key, payload);
        match reply {
            Ok(reply) if reply.status == 200 => {
                seen.duplicates += usize::from(reply.json()?["duplicate"] == json!(true));
                return Ok(());
            }
            // Just killed, or shutting down.
            Ok(reply) if reply.status >= 500 => {}
            Ok(reply) => ensure!(false, "{}: {}", reply.status, reply.text()),
            Err(_) => {}
        }
        seen.unanswered += 1;
        ensure!(begun.elapsed() < PATIENCE, "nobody takes {key}");
        sleep(Duration::from_millis(20));
    }
}

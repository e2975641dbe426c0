//! Chatops with three environments, a workspace with channels, and people who give commands.

mod agree;
mod answers;
mod backfill;
mod busy;
mod connection;
mod environments;
mod flow;
mod queries;
mod release;
mod right;
mod rollout;
mod safeguards;
mod story;
mod target;

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lockstep_tests::cluster::PORT;
use lockstep_tests::host::{self, Layout};
use lockstep_tests::slack::caller::Origin;
use lockstep_tests::slack::{App, Caller, FakeSlack, User};
use postgres::Client;
use serde_json::Value;

use crate::concurrency::PATIENCE;
use crate::database::{cluster, with_slack};
use crate::slack_app::{COMMANDS, Sidecar, Stage, sidecar_url, with_projects};

/// Shown until the answer is ready.
const REQUEST: &str = "\nThe app's operator finds what failed in the log (request `";

const LATER: &str = ":hourglass_flowing_sand: The answer takes a moment longer.";

/// Projects group/one to group/three and the users root, ada and bob in each of pre, staging and production; production is also
/// the Slack app's database.
pub(crate) struct Room {
    pub(crate) stage: Stage,
    pub(crate) staging: Client,
    pub(crate) pre: Client,
    pub(crate) team: String,
    pub(crate) ada: User,
    /// May not give commands.
    pub(crate) eve: User,
    pub(crate) production_channel: String,
    pub(crate) team_channel: String,
    pub(crate) general: String,
    name: String,
    arguments: Vec<String>,
}

/// The answer to a command.
#[derive(Debug)]
pub(crate) struct Said {
    /// The end of the line that names the request, if a part of it failed.
    pub(crate) request: Option<String>,
    pub(crate) text: String,
    pub(crate) is_public: bool,
}

impl Room {
    pub(crate) fn set(name: &str) -> Result<Self> {
        Self::set_with(name, &[])
    }

    pub(crate) fn set_with(name: &str, more: &[&str]) -> Result<Self> {
        Self::set_by_way_of(name, more, |_, url| Ok(url))
    }

    /// The same; the environments are reached at the given URLs.
    pub(crate) fn set_by_way_of(
        name: &str,
        more: &[&str],
        url_of: impl Fn(&str, String) -> Result<String>,
    ) -> Result<Self> {
        let mut client = with_projects(name)?;
        people(&mut client)?;
        let mut others = Vec::new();
        for environment in ["staging", "pre"] {
            let mut client = with_slack(&format!("{name}_{environment}"), Layout::Narrow)?;
            client.batch_execute(
                "do $$begin perform lockstep.attach(); perform lockstep.attach_slack(); end$$;
                 update namespaces set path = 'group' where id = 1;
                 insert into projects (id, name, path, namespace_id) values (1, 'One', 'one', 1), (2, 'Two', 'two', 1), (3, 'Three', 'three', 1)",
            )?;
            people(&mut client)?;
            others.push(client);
        }
        let pre = others.pop().context("no pre")?;
        let staging = others.pop().context("no staging")?;

        let slack = FakeSlack::start(App::default())?;
        let team = slack.create_workspace("Acme").id;
        let ada = slack.create_user(&team, "ada");
        let eve = slack.create_user(&team, "eve");
        let [production_channel, team_channel, general] = ["production", "integrations", "general"]
            .map(|channel| slack.create_channel(&team, channel).id);
        let url = sidecar_url(name)?;
        let mut arguments = Vec::new();
        for (environment, database) in [
            ("pre", format!("{name}_pre")),
            ("staging", format!("{name}_staging")),
            ("production", name.to_owned()),
        ] {
            let url = url_of(environment, chatops_url(&database)?)?;
            arguments.push(format!("--environment={environment}={url}"));
        }
        arguments.extend([
            format!("--production-channel={team}:{production_channel}"),
            format!("--chatops-user={team}:{}", ada.id),
            format!("--team-channel=group::integrations={team}:{team_channel}"),
        ]);
        arguments.extend(more.iter().map(ToString::to_string));
        let given: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let sidecar = Sidecar::start(&url, &slack, &given)?;
        sidecar.wait_until_ready()?;
        let caller = Caller::new(&sidecar.base, slack.app()).with_patience(PATIENCE);
        let mut stage = Stage {
            sidecar,
            slack,
            caller,
            client,
            url,
        };
        stage.connect(1)?;
        Ok(Self {
            stage,
            staging,
            pre,
            team,
            ada,
            eve,
            production_channel,
            team_channel,
            general,
            name: name.to_owned(),
            arguments,
        })
    }

    /// Another sidecar next to the first, and Slack calling it.
    pub(crate) fn another(&self) -> Result<(Sidecar, Caller)> {
        let given: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let sidecar = Sidecar::start(&self.stage.url, &self.stage.slack, &given)?;
        sidecar.wait_until_ready()?;
        let slack = &self.stage.slack;
        let caller = Caller::new(&sidecar.base, slack.app()).with_patience(PATIENCE);
        Ok((sidecar, caller))
    }

    /// A new command that somebody gives in a channel.
    pub(crate) fn origin(&self, user: &User, channel: &str) -> Origin {
        let slack = &self.stage.slack;
        Origin {
            team_id: Some(self.team.clone()),
            channel_id: channel.to_owned(),
            user_id: user.id.clone(),
            user_name: user.name.clone(),
            trigger_id: slack.trigger(&self.team),
            response_url: slack.response_url(&self.team, channel, &user.id),
            ..Origin::default()
        }
    }

    /// Another user in the workspace, as Slack sends a mention.
    pub(crate) fn mention(&self, name: &str) -> (String, String) {
        let user = self.stage.slack.create_user(&self.team, name);
        (format!("<@{}|{name}>", user.id), user.id)
    }

    /// The answer to Ada in the channel where production is changed.
    pub(crate) fn say(&self, text: &str) -> Result<String> {
        Ok(self
            .give(&self.origin(&self.ada, &self.production_channel), text)?
            .text)
    }

    /// The answer to any user in any channel.
    pub(crate) fn give(&self, origin: &Origin, text: &str) -> Result<Said> {
        self.give_by(&self.stage.caller, origin, text)
    }

    /// The same command, signed at another time: a request with the very same signature would not run.
    pub(crate) fn give_again(&self, origin: &Origin, text: &str) -> Result<Said> {
        let caller = self.stage.caller.clone().with_skew(-60);
        self.give_by(&caller, origin, text)
    }

    fn give_by(&self, caller: &Caller, origin: &Origin, text: &str) -> Result<Said> {
        let before = self.stage.slack.messages(&origin.channel_id).len();
        let mut message = command(caller, origin, text)?;
        let begun = Instant::now();
        while message["text"] == LATER {
            let messages = self.stage.slack.messages(&origin.channel_id);
            if let Some(late) = messages.get(before) {
                message = late.sent.clone();
                break;
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "{text}: no answer\n{}",
                self.stage.sidecar.log()
            );
            sleep(Duration::from_millis(20));
        }
        Ok(self.said(&message))
    }

    fn said(&self, message: &Value) -> Said {
        let text = self.named(message["text"].as_str().unwrap_or_default());
        // Its id is another one each time.
        let (text, request) = match text.split_once(REQUEST) {
            Some((text, request)) => (text.to_owned(), Some(request.to_owned())),
            None => (text, None),
        };
        Said {
            text,
            request,
            is_public: message["response_type"] == "in_channel",
        }
    }

    /// With the names of users and channels instead of their ids.
    fn named(&self, text: &str) -> String {
        text.replace(&format!("<@{}>", self.ada.id), "@ada")
            .replace(&format!("<#{}>", self.production_channel), "#production")
            .replace(&format!("<#{}>", self.team_channel), "#integrations")
            .replace(&format!("<#{}>", self.general), "#general")
    }

    /// Gives a command to a sidecar, and returns when it starts to answer.
    pub(crate) fn begin(&self, caller: &Caller, text: &str) -> Result<()> {
        let origin = self.origin(&self.ada, &self.production_channel);
        let message = command(caller, &origin, text)?;
        ensure!(message["text"] == LATER, "{text}: {message}");
        Ok(())
    }

    /// Waits for this many messages in the channel where production is changed: the results of started commands.
    pub(crate) fn late(&self, count: usize) -> Result<Vec<String>> {
        self.late_in(&self.production_channel, count)
    }

    pub(crate) fn late_in(&self, channel: &str, count: usize) -> Result<Vec<String>> {
        let begun = Instant::now();
        loop {
            let messages = self.stage.slack.messages(channel);
            if messages.len() >= count {
                return Ok(messages.iter().map(|it| self.named(&it.text)).collect());
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "{messages:?}\n{}",
                self.stage.sidecar.log()
            );
            sleep(Duration::from_millis(20));
        }
    }

    /// The team's notifications, the last first.
    pub(crate) fn told(&self) -> Vec<String> {
        let messages = self.stage.slack.messages(&self.team_channel);
        messages
            .iter()
            .rev()
            .map(|it| self.named(&it.text))
            .collect()
    }

    /// From now on a database accepts no connections, or accepts them again.
    pub(crate) fn reach(&self, environment: &str, is_reachable: bool) -> Result<()> {
        let mut client = cluster()?.connect("postgres")?;
        let name = format!("{}_{environment}", self.name);
        client.batch_execute(&format!(
            "alter database {name} allow_connections {is_reachable}"
        ))?;
        client.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and usename = 'chatops'",
            &[&name],
        )?;
        Ok(())
    }
}

fn command(caller: &Caller, origin: &Origin, text: &str) -> Result<Value> {
    let reply = caller.command(COMMANDS, origin, "/chatops", text)?;
    ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
    reply.json()
}

fn people(client: &mut Client) -> Result<()> {
    client.batch_execute(
        "insert into users (id, username, organization_id) values (2, 'ada', 1), (3, 'bob', 1);
         insert into namespaces (id, name, path, type, parent_id, traversal_ids, organization_id)
         values (2, 'Sub', 'sub', 'Group', 1, '{1,2}', 1), (3, 'ada', 'ada', 'User', null, '{3}', 1);
         insert into projects (id, name, path, namespace_id) values (4, 'Four', 'Four', 2)",
    )?;
    Ok(())
}

/// Adds the tables for deployments and members.
pub(crate) fn with_deployments(client: &mut Client) -> Result<()> {
    host::run(client, host::DEPLOYMENTS)?;
    host::run(client, host::MEMBERS)
}

/// Chatops' URL for a database, with a role that may do nothing else.
pub(crate) fn chatops_url(database: &str) -> Result<String> {
    let mut client = cluster()?.connect("postgres")?;
    // Tests run concurrently, and roles are shared by all databases.
    client.batch_execute(
        "begin;
         select pg_advisory_xact_lock(4712);
         do $$begin
           if to_regrole('chatops') is null then create role chatops login in role lockstep_chatops; end if;
         end$$;
         commit;",
    )?;
    Ok(format!(
        "host='{}' port={PORT} user=chatops dbname={database}",
        cluster()?.socket().display(),
    ))
}

//! A message with the merge requests that wait for a review. A recurring job sends it, so each channel chooses its time.

use super::person::Choices;
use super::read::{Author, Kind, Place};
use super::recipients::{Candidates, ChatNames, Circle, Notifications, Scope, Scopes};
use super::settings::{channels, configure};
use super::tables::{Tables, class};
use super::written::{NewDelivery, Source, channel, rows};
use crate::error::{EventError, OrRaise, Result, SlackError, required};
use lockstep_server::host::{Relation, at_or_below, check_have_one_owner, path_of, qualified};
use lockstep_server::{Statement, View, datum, keys_argument, random_bytes};
use pgrx::pg_sys;
use pgrx::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// How many are listed at most: the message has room for them, so that nobody is mentioned for one that it does not show.
const MOST: i64 = 10;

/// Sends a reminder.
#[pg_extern(sql = r#"
create function lockstep_api.remind_of_reviews(integration_id bigint, channel text default null, gitlab_url text default null,
  job_id bigint default null, schema text default 'public')
returns bigint language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.remind_of_reviews(bigint, text, text, bigint, text) is
  'sends a message with the merge requests that wait for a review in the projects of an integration, to that channel, or else to those of merge requests; returns how many there are: without any, nothing is sent, and nothing again for the same job_id. The job Slack::ReviewReminderWorker calls it';
revoke execute on function lockstep_api.remind_of_reviews(bigint, text, text, bigint, text) from public;
"#)]
fn remind_of_reviews(
    integration_id: Option<i64>,
    channel: Option<&str>,
    gitlab_url: Option<&str>,
    job_id: Option<i64>,
    schema: Option<&str>,
) -> i64 {
    let integration = required(integration_id, "integration_id");
    let schema = required(schema, "schema");
    let remind = || {
        let key = match job_id {
            // It may run again after a crash.
            Some(job) => format!("lockstep_reviews of job {job}"),
            None => {
                let bytes = random_bytes::<16>().ok_or(SlackError::NoChance)?;
                bytes.iter().map(|byte| format!("{byte:02x}")).collect()
            }
        };
        let tables = Tables::attached(schema)?;
        remind(&tables, integration, channel, gitlab_url, key)
    };
    remind().or_raise()
}

fn remind(
    tables: &Tables,
    integration: i64,
    given: Option<&str>,
    gitlab_url: Option<&str>,
    key: String,
) -> Result<i64> {
    let settings = configure::of(tables, integration)?.settings;
    let to = match given {
        Some(channel) => channels("channel", &channel.into())?,
        None => settings.channels_of(Kind::MergeRequest).to_vec(),
    };
    if to.is_empty() {
        return Err(EventError::NoChannels { id: integration }.into());
    }
    let Reach {
        projects,
        installed,
    } = reach(tables, integration)?;
    if installed.is_empty() && !projects.is_empty() {
        return Err(EventError::NotInstalled { id: integration }.into());
    }
    let Waiting {
        requests,
        number,
        reviewers,
    } = waiting(tables, &projects)?;
    if requests.is_empty() {
        return Ok(0);
    }
    let payload = json!({
        "object_kind": "lockstep_reviews", "gitlab_url": gitlab_url, "total_count": number, "merge_requests": requests,
    });
    let schema = tables.schema.as_str();
    let event = rows::NewEvent {
        key,
        // If it is about one project, it is not sent any more once that is archived.
        project: match projects[..] {
            [project] => Some(project),
            _ => None,
        },
        payload: Some(payload.to_string().into()),
        request: None,
    };
    let Some(event) = rows::events(vec![event], schema)?.into_values().next() else {
        return Ok(number);
    };
    let names = installed
        .iter()
        .flat_map(|(_, team)| to.iter().map(|name| (team.as_str(), name.as_str())));
    let found = channel::rows(names.collect(), schema)?;
    let mentions = match settings.mentions {
        true => Some(mentions(tables, reviewers)?),
        false => None,
    };
    let mut lanes = BTreeSet::new();
    let mut deliveries = Vec::new();
    for (row, team) in &installed {
        for name in &to {
            let Some(channel) = found.get(&(team.as_str(), name.as_str())).copied() else {
                continue;
            };
            if lanes.insert(channel.lane) {
                deliveries.push(NewDelivery {
                    event,
                    source: Source::Integration {
                        id: integration,
                        row: *row,
                    },
                    channel,
                    mentions: mentions.as_ref().and_then(|of| of(team)),
                    wait: None,
                });
            }
        }
    }
    rows::deliveries(&deliveries, schema)?;
    Ok(number)
}

/// The reviewers to mention in a team.
fn mentions(tables: &Tables, reviewers: BTreeSet<i64>) -> Result<impl Fn(&str) -> Option<String>> {
    let chat_names = ChatNames::of(tables, reviewers.clone())?;
    let choices = Choices::of_people(&tables.schema, chat_names.people())?;
    Ok(move |team: &str| {
        let circle = Circle::new(&chat_names, &choices);
        circle.mentioned(&reviewers, team)
    })
}

#[derive(Default)]
struct Waiting {
    /// As shown; at most [`MOST`].
    requests: Vec<Value>,
    number: i64,
    /// The application's ids.
    reviewers: BTreeSet<i64>,
}

/// The open merge requests that are no drafts and have a reviewer who has not begun, the oldest first.
fn waiting(tables: &Tables, projects: &[i64]) -> Result<Waiting> {
    let requests = with_columns(
        tables,
        "merge_requests",
        &["id", "iid", "target_project_id", "title", "state_id"],
    )?;
    let reviewers = with_columns(
        tables,
        "merge_request_reviewers",
        &["merge_request_id", "user_id", "state"],
    )?;
    let users = with_columns(tables, "users", &["id", "username"])?;
    check_have_one_owner(&[&tables.slack, &requests, &reviewers, &users])?;
    let is_draft = match requests.find_column("draft") {
        Some(_) => "m.draft",
        None => "m.title operator(pg_catalog.~~*) 'draft:%'",
    };
    // Who is blocked, banned or deactivated begins no review.
    let is_active = match users.find_column("state") {
        Some(_) => "u.state::pg_catalog.text == 'active'",
        None => "true",
    };
    let text = format!(
        "select {path} operator(pg_catalog.||) '/' operator(pg_catalog.||) p.path::pg_catalog.text, m.iid::pg_catalog.int8,
                m.title::pg_catalog.text, w.users, w.names, pg_catalog.count(*) over ()
           from (select r.merge_request_id as id, pg_catalog.array_agg(u.id::pg_catalog.int8 order by u.id) as users,
                        pg_catalog.array_agg(u.username::pg_catalog.text order by u.id) as names
                   from {m} m join {r} r on r.merge_request_id == m.id join {u} u on u.id == r.user_id
                  where m.target_project_id == any ($1) and m.state_id == 1 and r.state == 0 and ({is_draft}) is not true and {is_active}
                  group by r.merge_request_id) w
           join {m} m on m.id == w.id join {p} p on p.id == m.target_project_id join {n} n on n.id == p.namespace_id
          order by m.id limit {MOST}",
        path = path_of(&tables.namespaces, "n"),
        m = requests.qualified_name(),
        r = reviewers.qualified_name(),
        u = users.qualified_name(),
        p = tables.projects.qualified_name(),
        n = tables.namespaces.qualified_name(),
    );
    let query = Statement::new(&qualified(&text), &[pg_sys::INT8ARRAYOID]);
    let mut waiting = Waiting::default();
    tables.as_owner(|| {
        query.rows(View::Own, &[keys_argument(projects)], |row| {
            let users: Vec<i64> = row.get(4).unwrap_or_default();
            let names: Vec<String> = row.get(5).unwrap_or_default();
            let names: Vec<Value> = names.into_iter().map(|name| json!({ "username": name })).collect();
            waiting.requests.push(json!({
                "path_with_namespace": row.get::<String>(1), "iid": row.get::<i64>(2), "title": row.get::<String>(3), "reviewers": names,
            }));
            waiting.reviewers.extend(users);
            waiting.number = row.get(6).unwrap_or_default();
        });
    });
    Ok(waiting)
}

/// The projects whose events an integration is notified of, and where: row and team of its workspaces.
#[derive(Default)]
struct Reach {
    projects: Vec<i64>,
    installed: BTreeSet<(i64, String)>,
}

/// Decided as for events: a project with an integration of its own, or of a nearer group, is that one's.
fn reach(tables: &Tables, integration: i64) -> Result<Reach> {
    let projects = projects(tables, integration);
    let places: Vec<Place> = projects.into_iter().map(Place::Project).collect();
    let found = |scopes: &Scopes| -> Vec<Scope> {
        let found = places.iter().filter_map(|place| scopes.of(place));
        // Not where nothing is sent: in archived projects, or in GitLab's silent mode.
        found.filter(|scope| !scope.is_quiet()).cloned().collect()
    };
    let (scopes, candidates) = tables.as_owner(|| {
        let scopes = found(&Scopes::look_up(tables, places.iter()));
        let candidates = Candidates::look_up(tables, &scopes.iter().collect::<Vec<_>>());
        (scopes, candidates)
    });
    let notifications = Notifications::read(&tables.schema)?;
    let mut reach = Reach::default();
    for scope in &scopes {
        let mut its = candidates.of(scope);
        its.retain(|it| it.integration() == Some(integration) && it.is_active);
        if !its.is_empty() && notifications.are_on(scope, &Author::default())? == Some(true) {
            reach.projects.extend(scope.project);
            for (source, team) in its.into_iter().filter_map(|it| it.installed.as_ref()) {
                let row = source.row().map(|row| (row, team.clone()));
                reach.installed.extend(row);
            }
        }
    }
    Ok(reach)
}

/// The project of an integration, or those of its group.
fn projects(tables: &Tables, integration: i64) -> Vec<i64> {
    let i = tables.integrations.qualified_name();
    let column = |name: &str| match tables.integrations.find_column(name) {
        Some(column) => format!("i.{}::pg_catalog.int8", column.quoted()),
        None => "null::pg_catalog.int8".to_owned(),
    };
    let group = format!(
        "select {group} from {i} i where i.id == $1 and i.type_new == $2 and {group} is not null",
        group = column("group_id"),
    );
    let text = format!(
        "select p.id::pg_catalog.int8 from {p} p
          where p.id == any (array(select {project} from {i} i where i.id == $1 and i.type_new == $2))
             or p.namespace_id == any (array({below}))",
        p = tables.projects.qualified_name(),
        project = column("project_id"),
        below = at_or_below(&tables.namespaces, &group),
    );
    let query = Statement::new(&qualified(&text), &[pg_sys::INT8OID, pg_sys::TEXTOID]);
    let mut projects = Vec::new();
    tables.as_owner(|| {
        query.rows(View::Own, &[datum(integration), class()], |row| {
            projects.extend(row.get::<i64>(1));
        });
    });
    projects
}

fn with_columns(tables: &Tables, name: &'static str, columns: &[&str]) -> Result<Relation> {
    let table = Relation::find_table(&tables.schema, name)?;
    let has_all = |table: &Relation| columns.iter().all(|it| table.find_column(it).is_some());
    table.filter(has_all).ok_or_else(|| {
        EventError::NoReviews {
            schema: tables.schema.clone(),
            table: name,
        }
        .into()
    })
}

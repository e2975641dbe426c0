//! Reminders of merge requests that wait for a review, as a setting. Each is a recurring job, so those that were scheduled by SQL are
//! settings as well, and nothing has to be kept the same in two places. An integration does not inherit them: its own projects are
//! listed.

use super::value::{channels, setting, short};
use crate::error::{Result, ServerError};
use lockstep_server::kept;
use lockstep_server::{OwnStatement, attempt, datum, nullable};
use pgrx::PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE;
use pgrx::pg_sys;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;

pub(super) const SETTING: &str = "review_reminders";

const WORKER: &str = "Slack::ReviewReminderWorker";

const MOST: usize = 10;

/// When and where an integration reminds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(super) struct Reminder {
    cron: String,
    time_zone: String,
    /// Empty for those of merge requests.
    channels: Vec<String>,
}

pub(super) type Reminders = BTreeSet<Reminder>;

struct Statements {
    scheduled: OwnStatement,
    next_time: OwnStatement,
    free_name: OwnStatement,
    schedule: OwnStatement,
    unschedule: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        scheduled: OwnStatement::new(
            "select s.name, s.cron, s.time_zone, s.args ->> 'integration_id', s.args ->> 'channel' from lockstep.job_schedules s
              where s.worker = $1 and coalesce(s.args ->> 'schema', 'public') = $2 and ($3 is null or s.args -> 'integration_id' = to_jsonb($3))
              order by s.name",
            &[pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::INT8OID],
        ),
        next_time: OwnStatement::new(
            "select lockstep.cron_times($1, $2, most => 1)",
            &[pg_sys::TEXTOID; 2],
        ),
        free_name: OwnStatement::new(
            "select $1 || n from generate_series(1, 1000) n where not exists (select from lockstep.job_schedules s where s.name = $1 || n)
              order by n limit 1",
            &[pg_sys::TEXTOID],
        ),
        schedule: OwnStatement::new(
            "select lockstep.schedule_job($1, $2, $3, $4::jsonb, $5)",
            &[pg_sys::TEXTOID; 5],
        ),
        unschedule: OwnStatement::new("select lockstep.unschedule_job($1)", &[pg_sys::TEXTOID]),
    };
}

/// The value of the setting.
pub(super) fn read(value: &Value) -> Result<Reminders> {
    let all = match value {
        Value::Null => &[][..],
        Value::Array(all) => all,
        _ => return Err(setting(SETTING, "is not a list")),
    };
    if all.len() > MOST {
        return Err(setting(SETTING, format!("has more than {MOST} reminders")));
    }
    let all = all.iter().enumerate();
    all.map(|(place, value)| Reminder::read(&format!("{SETTING}[{place}]"), value))
        .collect()
}

impl Reminder {
    fn read(path: &str, value: &Value) -> Result<Self> {
        let Value::Object(fields) = value else {
            return Err(setting(path, "is not an object"));
        };
        let mut reminder = Self {
            cron: String::new(),
            time_zone: "UTC".to_owned(),
            channels: Vec::new(),
        };
        for (name, value) in fields {
            let path = format!("{path}.{}", short(name));
            let text = || {
                let text = value.as_str();
                text.ok_or_else(|| setting(&path, "is not a text"))
            };
            match name.as_str() {
                "cron" => {
                    let fields: Vec<&str> = text()?.split_whitespace().collect();
                    reminder.cron = fields.join(" ");
                }
                "time_zone" if value.is_null() => {}
                "time_zone" => reminder.time_zone = text()?.trim().to_owned(),
                "channels" => reminder.channels = channels(&path, value)?,
                _ => return Err(setting(path, "is not a field of a reminder")),
            }
        }
        reminder.check_time(path)?;
        Ok(reminder)
    }

    fn check_time(&self, path: &str) -> Result<()> {
        let arguments = [datum(self.cron.as_str()), datum(self.time_zone.as_str())];
        let look = AssertUnwindSafe(|| STATEMENTS.with(|own| own.next_time.run(&arguments)));
        match attempt(look) {
            Ok(looked) => looked.map(|_| ()),
            Err(failure) if failure.code == ERRCODE_INVALID_PARAMETER_VALUE => {
                Err(setting(path, format!("has no time: {}", failure.message)))
            }
            Err(failure) => Err(ServerError::catalog(failure.message)),
        }
    }

    /// As it is scheduled, if the job can read it.
    fn of_job(cron: String, time_zone: String, channel: Option<String>) -> Option<Self> {
        let channels = match channel {
            Some(channel) => channels("channel", &channel.into()).ok()?,
            None => Vec::new(),
        };
        Some(Self {
            cron,
            time_zone,
            channels,
        })
    }

    fn schedule(&self, schema: &str, integration: i64) -> Result<()> {
        let mut args = json!({ "integration_id": integration });
        if !self.channels.is_empty() {
            args["channel"] = self.channels.join(",").into();
        }
        if schema != "public" {
            args["schema"] = schema.into();
        }
        STATEMENTS.with(|own| {
            let prefix = format!("reviews of {integration} in {schema}, ");
            let mut name = prefix.clone();
            own.free_name.rows(&[datum(prefix)], |row| {
                name = row.get(1).unwrap_or_default();
            })?;
            let arguments = [
                datum(name),
                datum(self.cron.as_str()),
                datum(WORKER),
                datum(args.to_string()),
                datum(self.time_zone.as_str()),
            ];
            own.schedule.run(&arguments)?;
            Ok(())
        })
    }
}

/// The reminders of an integration.
pub(super) fn of(schema: &str, integration: i64) -> Result<Reminders> {
    let scheduled = scheduled(schema, Some(integration))?;
    Ok(scheduled.into_iter().map(|it| it.reminder).collect())
}

/// The reminders of all integrations.
pub(super) fn all(schema: &str) -> Result<BTreeMap<i64, Reminders>> {
    let mut all: BTreeMap<i64, Reminders> = BTreeMap::new();
    for it in scheduled(schema, None)? {
        all.entry(it.integration).or_default().insert(it.reminder);
    }
    Ok(all)
}

/// Schedules an integration's reminders, and no others.
pub(super) fn set(schema: &str, integration: i64, wanted: &Reminders) -> Result<()> {
    let mut missing = wanted.clone();
    for it in scheduled(schema, Some(integration))? {
        if !missing.remove(&it.reminder) {
            STATEMENTS.with(|own| own.unschedule.run(&[datum(it.name)]))?;
        }
    }
    let mut missing = missing.iter();
    missing.try_for_each(|reminder| reminder.schedule(schema, integration))
}

/// A reminder needs a channel when it is set. Later it fails where it has none.
pub(super) fn check_channels(added: &Reminders, is_told: bool) -> Result<()> {
    match is_told || added.iter().all(|it| !it.channels.is_empty()) {
        true => Ok(()),
        false => Err(setting(
            SETTING,
            "has a reminder without channels, and merge requests have none",
        )),
    }
}

pub(super) fn channels_of(reminders: &Reminders) -> impl Iterator<Item = &str> {
    let channels = reminders.iter().flat_map(|it| &it.channels);
    channels.map(String::as_str)
}

struct Scheduled {
    name: String,
    integration: i64,
    reminder: Reminder,
}

fn scheduled(schema: &str, integration: Option<i64>) -> Result<Vec<Scheduled>> {
    let mut found = Vec::new();
    let arguments = [
        Some(datum(WORKER)),
        Some(datum(schema)),
        nullable(integration),
    ];
    STATEMENTS.with(|own| {
        own.scheduled.rows_with_nulls(&arguments, |row| {
            let read = || {
                let integration: String = row.get(4)?;
                Some(Scheduled {
                    name: row.get(1)?,
                    integration: integration.parse().ok()?,
                    reminder: Reminder::of_job(row.get(2)?, row.get(3)?, row.get(5))?,
                })
            };
            found.extend(read());
        })
    })?;
    Ok(found)
}

//! An event that GitLab sends by several webhooks, such as a system hook and a project's, counts once. The n-th time that one
//! webhook sends the same body is the n-th time of another one, too: what happens twice is reported twice.

use crate::error::Result;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, datum};
use pgrx::pg_sys;
use std::collections::{BTreeSet, HashMap};

struct Own {
    lock: OwnStatement,
    note: OwnStatement,
}

kept! {
    static STATEMENTS: Own = Own {
        lock: OwnStatement::by_index(
            "select e.key, e.requests from unnest($2) with ordinality t (key, place)
               join lockstep_internal.event e on e.schema = $1 and e.key = t.key order by t.place for update of e",
            &[pg_sys::TEXTOID, pg_sys::TEXTARRAYOID],
            &["schema"],
        ),
        note: OwnStatement::by_index(
            "update lockstep_internal.event e set requests = e.requests || t.requests
               from (select n.key, array_agg(n.request order by n.place) as requests
                       from unnest($2, $3) with ordinality n (key, request, place) group by n.key) t
              where e.schema = $1 and e.key = t.key",
            &[
                pg_sys::TEXTOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTARRAYOID,
            ],
            &["schema"],
        ),
    };
}

/// Who sends the same event more often than that within a day is not listened to.
const MOST_REQUESTS: usize = 1_000;

/// For events whose keys are already there, with their requests, in order: which of them are new all the same.
pub(crate) fn count(asked: Vec<(&str, &str)>, schema: &str) -> Result<Vec<bool>> {
    let keys: BTreeSet<&str> = asked.iter().map(|(key, _)| *key).collect();
    let keys: Vec<&str> = keys.into_iter().collect();
    let mut known: HashMap<String, Vec<String>> = HashMap::new();
    // In key order, so that two sessions do not deadlock.
    STATEMENTS.with(|own| {
        own.lock.rows(&[datum(schema), datum(keys)], |row| {
            known.extend(row.get(1).zip(row.get(2)));
        })
    })?;
    let mut noted: Vec<(&str, &str)> = Vec::new();
    let mut is_new = Vec::with_capacity(asked.len());
    for (key, request) in asked {
        let Some(requests) = known.get_mut(key) else {
            // Published from SQL, or just removed.
            is_new.push(false);
            continue;
        };
        let is_known = requests.iter().any(|it| id(it) == id(request));
        if is_known || requests.len() >= MOST_REQUESTS {
            is_new.push(false);
            continue;
        }
        let times = |of: &str| requests.iter().filter(|it| webhook(it) == of).count();
        let most = requests.iter().map(|it| times(webhook(it))).max();
        is_new.push(times(webhook(request)) >= most.unwrap_or(1));
        requests.push(request.to_owned());
        noted.push((key, request));
    }
    if !noted.is_empty() {
        let (keys, requests): (Vec<&str>, Vec<&str>) = noted.into_iter().unzip();
        let arguments = [datum(schema), datum(keys), datum(requests)];
        STATEMENTS.with(|own| own.note.run(&arguments))?;
    }
    Ok(is_new)
}

fn webhook(request: &str) -> &str {
    request.split_once(' ').map_or("", |(webhook, _)| webhook)
}

/// Which webhook sent a request is not signed, so its id alone tells whether it is the same.
fn id(request: &str) -> &str {
    request.split_once(' ').map_or(request, |(_, id)| id)
}

//! The triggers: lock a team before its rows are locked, note what changed, and flush at the end of the statement.

use super::flush;
use super::kept::{self, Described};
use super::noted::{Cause, Note, note};
use super::writing::{is_writing, is_writing_any};
use crate::error::{OrRaise, Result, ServerError, SlackError};
use crate::slack_workspace::host::{NOTE, SHARED, Tables, lock};
use lockstep_server::host::{self, HostTrigger, IntegerWidth, Known, Relation};
use lockstep_server::kept;
use lockstep_server::row::{Row, Stored};
use lockstep_server::trigger_depth;
use pgrx::datum::TryFromDatumError;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;

/// BEFORE an UPDATE, or a DELETE of links: its rows, and so its teams, are not known before they are locked.
#[pg_trigger(sql = "
create function lockstep_internal.lock_slack_teams() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.lock_slack_teams() is 'statement trigger of slack_integrations and their scopes: one writer of unknown teams at a time';")]
fn lock_slack_teams<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>> {
    let place = place(trigger, Firing::Statement).or_raise();
    let table = place.tables.slack.oid;
    if place.table == Table::Links {
        kept::doubt_links();
    }
    // A cascade deletes links of rows that are already locked: it is too late to wait, and there is nothing to copy.
    let is_cascade = place.table == Table::Links && trigger_depth() > 1;
    if !is_cascade && !is_writing_any(table) {
        lock::all_teams(table);
    }
    Ok(None)
}

/// BEFORE INSERT of a row or a link. A row without news for its team is stored with the team's values; a link that its row
/// already took over is not stored again.
#[pg_trigger(sql = "
create function lockstep_internal.lock_slack_team() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.lock_slack_team() is 'row trigger of slack_integrations and their scopes: one writer of a team at a time';")]
fn lock_slack_team<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByRust>>> {
    let place = place(trigger, Firing::Row).or_raise();
    let table = place.tables.slack.oid;
    let row = Row::new_of(trigger);
    let mut new = trigger.new().map(PgHeapTuple::into_owned);
    match place.table {
        Table::Rows => {
            let team = row.text(&place.team);
            if let Some(team) = team.filter(|team| !is_writing(table, team)) {
                lock::teams(table, [team.as_str()]);
                if let (Some(new), Some(kept)) = (&mut new, kept::of_team(&place.tables, &team)) {
                    // If a column of the application has another type, the flush writes it.
                    place.take_over(&row, new, &kept.row).unwrap_or_default();
                }
            }
        }
        Table::Links if !is_writing_any(table) && place.is_linked(&row) => return Ok(None),
        Table::Links => {}
    }
    Ok(new)
}

/// AFTER INSERT or UPDATE of a row; AFTER INSERT, UPDATE or DELETE of a link.
#[pg_trigger(sql = "
create function lockstep_internal.note_slack_row() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.note_slack_row() is 'row trigger of slack_integrations and their scopes: notes the row that its team has to follow';")]
fn note_slack_row<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>> {
    let place = place(trigger, Firing::Row).or_raise();
    let (old, new) = Row::versions_of(trigger);
    match place.table {
        Table::Rows => place.note_row(old.as_ref(), new.as_ref()),
        Table::Links => place.note_link(old.as_ref(), new.as_ref()),
    }
    Ok(None)
}

/// AFTER each statement on rows or links.
#[pg_trigger(sql = "
create function lockstep_internal.flush_slack() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.flush_slack() is 'statement trigger on slack_integrations and their scopes: makes the rows of all noted teams identical';")]
fn flush_slack<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>> {
    let _ = trigger;
    flush::flush().or_raise();
    Ok(None)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    Rows,
    Links,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Firing {
    Row,
    Statement,
}

/// Which table a trigger is on, and its column numbers.
struct Place {
    tables: Rc<Tables>,
    table: Table,
    /// The id of the row of Slack integrations.
    id: NonZeroUsize,
    id_width: IntegerWidth,
    /// The scope of a link.
    scope: NonZeroUsize,
    scope_width: IntegerWidth,
    team: Stored,
    token: Stored,
    /// What a row carries besides its token.
    carried: Vec<Stored>,
    updated_at: Stored,
    /// The workspace's columns, in the order of [`SHARED`].
    shared: [Stored; 5],
}

impl Place {
    /// Copies the team's values to an inserted row, unless it has a new token.
    fn take_over(
        &self,
        row: &Row,
        new: &mut PgHeapTuple<AllocatedByRust>,
        kept: &Described,
    ) -> Result<(), TryFromDatumError> {
        let [user, bot, token, iv, updated_at] = &self.shared;
        let its: Option<Vec<u8>> = row.value(token);
        if its.is_some() && its != kept.token {
            return Ok(());
        }
        set(row, new, user, &kept.user)?;
        set(row, new, bot, &kept.bot)?;
        set(row, new, token, &kept.token)?;
        set(row, new, iv, &kept.iv)?;
        set(row, new, updated_at, &kept.updated_at)
    }

    /// Whether the row of a link already has its scope; locks the row's team.
    fn is_linked(&self, link: &Row) -> bool {
        let table = self.tables.slack.oid;
        let row = link.integer(self.id, self.id_width);
        let Some((row, scope)) = row.zip(link.integer(self.scope, self.scope_width)) else {
            return false;
        };
        if let Some(is_linked) = kept::is_linked(table, row, scope) {
            return is_linked;
        }
        let window = kept::next_window();
        let mut found = kept::read_links(&self.tables, row, window);
        let Some(team) = found.get(&row).map(|linked| linked.team.clone()) else {
            return false;
        };
        if !lock::has_team(table, &team) {
            lock::teams(table, [team.as_str()]);
            // The previous lock holder may have linked it.
            found = kept::read_links(&self.tables, row, window);
        }
        let is_linked = found
            .get(&row)
            .is_some_and(|linked| linked.scopes.contains(&scope));
        kept::remember(table, &team, found);
        is_linked
    }

    fn note_row(&self, old: Option<&Row>, new: Option<&Row>) {
        let Some(new) = new else { return };
        let table = self.tables.slack.oid;
        let is_ours = || is_writing(table, &new.text(&self.team).unwrap_or_default());
        if is_writing_any(table) && is_ours() {
            return;
        }
        let differs = |old: &Row, column| !new.has_same(old, std::slice::from_ref(column));
        let cause = match old {
            None if self.has_joined(new) => Cause::Joined,
            None => Cause::Came,
            Some(old) if differs(old, &self.token) => Cause::Brings,
            Some(old) if !new.has_same(old, &self.carried) => Cause::Says,
            Some(old) if differs(old, &self.team) => Cause::Moved,
            Some(old) if differs(old, &self.updated_at) => Cause::Touched,
            Some(_) => return,
        };
        self.note(new, cause);
    }

    /// Whether an inserted row has the token that its team had, most likely from us.
    fn has_joined(&self, new: &Row) -> bool {
        let team = new.text(&self.team);
        let token: Option<Vec<u8>> = new.value(&self.token);
        let both = team.zip(token);
        both.is_some_and(|(team, token)| kept::had_token(self.tables.slack.oid, &team, &token))
    }

    fn note_link(&self, old: Option<&Row>, new: Option<&Row>) {
        if is_writing_any(self.tables.slack.oid) {
            return;
        }
        for row in [old, new].into_iter().flatten() {
            if let Some(scope) = row.integer(self.scope, self.scope_width) {
                self.note(row, Cause::Linked(scope));
            }
        }
    }

    fn note(&self, row: &Row, cause: Cause) {
        if let Some(row) = row.integer(self.id, self.id_width) {
            let table = self.tables.slack.oid;
            note(Note { table, row, cause }).or_raise();
        }
    }
}

fn set<T: FromDatum + IntoDatum + PartialEq + Clone>(
    row: &Row,
    new: &mut PgHeapTuple<AllocatedByRust>,
    column: &Stored,
    value: &Option<T>,
) -> Result<(), TryFromDatumError> {
    match value {
        value if row.value::<T>(column) == *value => Ok(()),
        Some(value) => new.set_by_index(column.number(), value.clone()),
        None => new.set_by_index(column.number(), None::<T>),
    }
}

kept! {
    static PLACES: RefCell<Known<Oid, Rc<Place>>> = RefCell::new(Known::new());
}

fn place(trigger: &PgTrigger, firing: Firing) -> Result<Rc<Place>> {
    let is_as_expected = match firing {
        Firing::Row => trigger.event().fired_for_row(),
        Firing::Statement => trigger.event().fired_for_statement(),
    };
    if !is_as_expected {
        return Err(SlackError::NotASlackTrigger {
            trigger: trigger.name().unwrap_or_default().to_owned(),
        }
        .into());
    }
    let oid = trigger.trigger().tgoid;
    PLACES.with(|known| Known::get_or_learn(known, oid, || learn_place(trigger).map(Rc::new)))
}

#[cold]
fn learn_place(trigger: &PgTrigger) -> Result<Place> {
    let oid = trigger.relid().map_err(ServerError::catalog)?;
    host::watch(oid);
    // Any user may create a trigger on a table of their own with one of our functions.
    let fired_on = Relation::describe(oid.to_u32())?;
    let tables = Tables::of_schema(fired_on.schema())?;
    let table = match oid.to_u32() {
        oid if oid == tables.slack.oid => Table::Rows,
        oid if oid == tables.links.oid => Table::Links,
        _ => {
            return Err(SlackError::NotASlackTrigger {
                trigger: trigger.name().unwrap_or_default().to_owned(),
            }
            .into());
        }
    };
    let stored = |name: &str| -> Result<Stored> { Ok(Stored::new(tables.slack.column(name)?)) };
    let of_links = [
        tables.links.integer_column("slack_integration_id")?,
        tables.links.integer_column("slack_api_scope_id")?,
    ];
    let id = match table {
        Table::Rows => tables.slack.integer_column("id")?,
        Table::Links => of_links[0],
    };
    let width = |column: &host::Column| column.integer_width().unwrap_or(IntegerWidth::Eight);
    Ok(Place {
        table,
        id: id.place(),
        id_width: width(id),
        scope: of_links[1].place(),
        scope_width: width(of_links[1]),
        team: stored("team_id")?,
        token: stored("encrypted_bot_access_token")?,
        carried: ["user_id", "bot_user_id", "encrypted_bot_access_token_iv"]
            .into_iter()
            .map(stored)
            .collect::<Result<_>>()?,
        updated_at: stored("updated_at")?,
        shared: [
            stored(SHARED[0])?,
            stored(SHARED[1])?,
            stored(SHARED[2])?,
            stored(SHARED[3])?,
            stored(SHARED[4])?,
        ],
        tables: Rc::clone(&tables),
    })
}

const FLUSH: &str = "lockstep_slack_flush";
const LOCK: &str = "lockstep_slack_lock";
const LOCK_ROW: &str = "lockstep_slack_lock_row";

pub(crate) const TRIGGERS_OF_ROWS: [HostTrigger; 4] = [
    HostTrigger {
        name: LOCK,
        when: "before update of user_id, bot_user_id, encrypted_bot_access_token, encrypted_bot_access_token_iv, team_id, updated_at
                 on {table} for each statement",
        function: "lock_slack_teams",
    },
    HostTrigger {
        name: LOCK_ROW,
        when: "before insert on {table} for each row",
        function: "lock_slack_team",
    },
    // Not for certain columns only: an application trigger may change one that the statement does not name.
    HostTrigger {
        name: NOTE,
        when: "after insert or update on {table} for each row",
        function: "note_slack_row",
    },
    HostTrigger {
        name: FLUSH,
        when: "after insert or update on {table} for each statement",
        function: "flush_slack",
    },
];

pub(crate) const TRIGGERS_OF_LINKS: [HostTrigger; 4] = [
    HostTrigger {
        name: LOCK,
        when: "before update or delete on {table} for each statement",
        function: "lock_slack_teams",
    },
    HostTrigger {
        name: LOCK_ROW,
        when: "before insert on {table} for each row",
        function: "lock_slack_team",
    },
    HostTrigger {
        name: NOTE,
        when: "after insert or update or delete on {table} for each row",
        function: "note_slack_row",
    },
    HostTrigger {
        name: FLUSH,
        when: "after insert or update or delete on {table} for each statement",
        function: "flush_slack",
    },
];

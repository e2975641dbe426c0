//! Flipper's tables in one schema, and the statements that read and write them.

use crate::error::{FeatureError, Result};
use lockstep_server::host::{self, Known, Relation};
use lockstep_server::kept;
use lockstep_server::{Answer, Rights, Statement, View, as_owner, connected};
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::RefCell;
use std::rc::Rc;

pub(super) const FEATURES: &str = "features";
pub(super) const GATES: &str = "feature_gates";

/// The texts that each table must have.
pub(super) const FEATURE_TEXTS: [&str; 1] = ["key"];
pub(super) const GATE_TEXTS: [&str; 3] = ["feature_key", "key", "value"];

pub(super) struct Tables {
    pub(super) features: Relation,
    pub(super) gates: Relation,
    owner: Rights,
    /// `$1` flag: null, null for the flag itself; then key and value of each gate, oldest first.
    pub(super) read: Statement,
    /// `$1` flag: creates its row if it is missing.
    pub(super) create: Statement,
    /// `$1` flag: locks its row.
    pub(super) lock: Statement,
    /// `$1` flag: removes its row.
    pub(super) remove: Statement,
    /// `$1` flag: removes all its gates.
    pub(super) clear: Statement,
    /// `$1` flag, `$2` gate: removes the gates of that key.
    pub(super) clear_gate: Statement,
    /// `$1` flag, `$2` gate, `$3` value: removes that gate.
    pub(super) close: Statement,
    /// `$1` flag, `$2` gate, `$3` value: adds that gate if it is missing.
    pub(super) open: Statement,
    /// All flags of the schema: name, created, updated.
    pub(super) all: Statement,
    /// All gates of the schema: flag, key and value, oldest first.
    pub(super) all_gates: Statement,
    /// All flags of the schema: name, and the seconds since the flag or one of its gates was written.
    pub(super) ages: Statement,
}

kept! {
    static KNOWN: RefCell<Known<String, Option<Rc<Tables>>>> = RefCell::new(Known::new());
}

impl Tables {
    /// The tables of a schema, cached by the backend until one of them changes; None if the application has none.
    pub(super) fn find(schema: &str) -> Result<Option<Rc<Self>>> {
        // Processes other sessions' changes of the tables: a new transaction knows them, one that has waited may not.
        host::catch_up();
        let known = KNOWN.with(|known| {
            Known::get_or_learn(known, schema.to_owned(), || {
                Ok(Self::look_up(schema)?.map(Rc::new))
            })
        })?;
        match known {
            Some(tables) => Ok(Some(tables)),
            // Nothing reports when a table is created.
            None => Ok(Self::look_up(schema)?.map(Rc::new)),
        }
    }

    pub(super) fn of_schema(schema: &str) -> Result<Rc<Self>> {
        host::check_schema(schema)?;
        Self::find(schema)?.ok_or_else(|| {
            FeatureError::NoTables {
                schema: schema.to_owned(),
            }
            .into()
        })
    }

    fn look_up(schema: &str) -> Result<Option<Self>> {
        let features = Relation::find_table(schema, FEATURES)?;
        let gates = Relation::find_table(schema, GATES)?;
        let (Some(features), Some(gates)) = (features, gates) else {
            return Ok(None);
        };
        let texts = [FEATURE_TEXTS.as_slice(), GATE_TEXTS.as_slice()];
        for (table, texts) in [&features, &gates].into_iter().zip(texts) {
            host::watch(Oid::from(table.oid));
            for column in texts {
                host::text(table, column)?;
            }
            for column in ["created_at", "updated_at"] {
                host::time(table, column)?;
            }
        }
        host::integer(&gates, "id")?;
        host::check_have_one_owner(&[&features, &gates])?;
        Ok(Some(Self::new(features, gates)))
    }

    /// Reads with the rights of the tables' owner.
    pub(super) fn rows(
        &self,
        statement: &Statement,
        view: View,
        arguments: &[Datum],
        read: impl FnMut(&Answer),
    ) {
        self.as_owner(|| statement.rows(view, arguments, read));
    }

    /// Runs `work` with the rights of the tables' owner, who could do the same.
    pub(super) fn as_owner<R>(&self, work: impl FnOnce() -> R) -> R {
        as_owner(&self.owner, || connected(work))
    }

    fn new(features: Relation, gates: Relation) -> Self {
        let f = features.qualified_name();
        let g = gates.qualified_name();
        let text = |count: usize| vec![pg_sys::TEXTOID; count];
        let now = "pg_catalog.now() at time zone 'utc'";
        let of_flag = "t.feature_key operator(pg_catalog.=) $1";
        let gate = "t.key operator(pg_catalog.=) $2";
        Self {
            owner: features.rights(),
            read: Statement::new(
                &format!(
                    "select null::pg_catalog.text, null::pg_catalog.text from {f} t where t.key operator(pg_catalog.=) $1
                     union all
                     (select t.key::pg_catalog.text, t.value::pg_catalog.text from {g} t where {of_flag} order by t.id)"
                ),
                &text(1),
            ),
            create: Statement::new(
                &format!("insert into {f} (key, created_at, updated_at) values ($1, {now}, {now}) on conflict (key) do nothing"),
                &text(1),
            ),
            lock: Statement::new(
                &format!("select 1 from {f} t where t.key operator(pg_catalog.=) $1 for no key update"),
                &text(1),
            ),
            remove: Statement::new(
                &format!("delete from {f} t where t.key operator(pg_catalog.=) $1"),
                &text(1),
            ),
            clear: Statement::new(&format!("delete from {g} t where {of_flag}"), &text(1)),
            clear_gate: Statement::new(
                &format!("delete from {g} t where {of_flag} and {gate}"),
                &text(2),
            ),
            close: Statement::new(
                &format!("delete from {g} t where {of_flag} and {gate} and t.value operator(pg_catalog.=) $3"),
                &text(3),
            ),
            open: Statement::new(
                &format!(
                    "insert into {g} (feature_key, key, value, created_at, updated_at) values ($1, $2, $3, {now}, {now})
                     on conflict (feature_key, key, value) do nothing"
                ),
                &text(3),
            ),
            all: Statement::new(
                &format!(
                    "select t.key::pg_catalog.text, t.created_at::pg_catalog.timestamp, t.updated_at::pg_catalog.timestamp from {f} t
                      order by t.key::pg_catalog.text collate \"C\""
                ),
                &[],
            ),
            all_gates: Statement::new(
                &format!(
                    "select t.feature_key::pg_catalog.text, t.key::pg_catalog.text, t.value::pg_catalog.text from {g} t order by t.id"
                ),
                &[],
            ),
            ages: Statement::new(
                &format!(
                    "select t.key::pg_catalog.text,
                            extract(epoch from {now} operator(pg_catalog.-) greatest(t.updated_at, pg_catalog.max(g.updated_at)))::pg_catalog.int8
                       from {f} t left join {g} g on g.feature_key operator(pg_catalog.=) t.key group by t.key, t.updated_at"
                ),
                &[],
            ),
            features,
            gates,
        }
    }
}

//! A definition ready to run: the prepared statements that maintain its column, cached by the backend until a table changes.

use crate::cache_column::defined::{Definition, Resolved};
use crate::error::Result;
use lockstep_server::host::{self, Known};
use lockstep_server::kept;
use lockstep_server::{Rights, Statement, View, as_owner, connected, keys_argument};
use pgrx::pg_sys::Datum;
use pgrx::pg_sys::{self, Oid};
use std::cell::RefCell;
use std::rc::Rc;

/// Maintains one cache column: has its definition and the prepared statements on its target. Callers hold an SPI connection.
pub(super) struct Keeper {
    pub(super) resolved: Resolved,
    /// The generation of the cached knowledge it was made from.
    pub(super) generation: u64,
    target_owner: Rights,
    source_owner: Rights,
    one: Statements,
    many: Statements,
    /// Reads and writes in one statement, which saves a statement for a single row. For many rows one walk over the source's
    /// index is faster than a lookup per key.
    set_true_if_matched: Statement,
    set_false_if_unmatched: Statement,
    /// Locks the target row and returns its value.
    lock_one: Statement,
    /// Locks the target rows in key order; returns how many exist, and how many are not false and not true.
    lock_many: Statement,
    /// Sets the column for all given keys, in key order, whatever its value.
    set_true_in_order: Statement,
    /// Whether any row between two keys has the value true.
    any_true_between: Statement,
    /// On tables that Citus distributes. Locks the target rows in key order.
    lock_on_shard: Statement,
    /// Sets the column for all given keys where it is not false, or not true, yet.
    set_on_shard: [Statement; 2],
}

/// The steps of a flush, for one key (`id = $1`) or many (`id = any ($1)`).
struct Statements {
    set_true: Statement,
    set_false: Statement,
    /// The keys of the matching source rows.
    matched: Statement,
}

/// What the lock pass found: counts of target rows, valid until the transaction ends.
#[derive(Clone, Copy, Default)]
pub(super) struct Locked {
    pub(super) found: usize,
    pub(super) not_false: usize,
    pub(super) not_true: usize,
}

impl Locked {
    /// One row with this value.
    fn one(value: Option<bool>) -> Self {
        Self {
            found: 1,
            not_false: usize::from(value != Some(false)),
            not_true: usize::from(value != Some(true)),
        }
    }

    /// That many rows, with unknown values.
    pub(super) fn unknown(found: usize) -> Self {
        Self {
            found,
            not_false: found,
            not_true: found,
        }
    }
}

impl Statements {
    /// `is_given` is the condition that a key is among those given.
    fn new(
        resolved: &Resolved,
        key_columns: &Rc<[String]>,
        is_given: &str,
        parameter: Oid,
    ) -> Self {
        let target = resolved.target.qualified_name();
        let source = resolved.source.qualified_name();
        let column = resolved.column.quoted();
        let id = resolved.primary_key.quoted();
        let key = resolved.key.quoted();
        let matches = resolved.matches_sql("s");
        let statement = |text: String| Statement::by_index(&text, &[parameter], key_columns);
        let set = |value: bool| {
            statement(format!(
                "update {target} t set {column} = {value} where t.{id} {is_given} and t.{column} is not {value}"
            ))
        };
        Self {
            set_true: set(true),
            set_false: set(false),
            matched: statement(format!(
                "select array(select distinct s.{key}::pg_catalog.int8 from {source} s where s.{key} {is_given} and {matches})"
            )),
        }
    }
}

/// Keys in ascending order without duplicates, as an argument of a statement.
pub(super) struct Keys(Vec<i64>);

impl Keys {
    pub(super) fn new(mut keys: Vec<i64>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        Self(keys)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn as_slice(&self) -> &[i64] {
        &self.0
    }

    /// The keys that are not in `other`.
    pub(super) fn without(&self, other: &Self) -> Self {
        Self(
            self.0
                .iter()
                .copied()
                .filter(|key| other.0.binary_search(key).is_err())
                .collect(),
        )
    }

    fn argument(&self) -> Datum {
        match self.0.as_slice() {
            [key] => Datum::from(*key),
            keys => keys_argument(keys),
        }
    }
}

impl Keeper {
    fn new(resolved: Resolved, generation: u64) -> Self {
        let target = resolved.target.qualified_name();
        let column = resolved.column.quoted();
        let id = resolved.primary_key.quoted();
        let key_columns: Rc<[String]> =
            Rc::from([resolved.primary_key.name.clone(), resolved.key.name.clone()]);
        let of_keys = format!("t.{id} operator(pg_catalog.=) any ($1)");
        let exists = resolved.exists_sql();
        let look_and_set = |value: bool, and: &str| {
            let text = format!(
                "update {target} t set {column} = {value}
                  where t.{id} operator(pg_catalog.=) $1 and t.{column} is not {value} {and}"
            );
            Statement::by_index(&text, &[pg_sys::INT8OID], &key_columns)
        };
        Self {
            generation,
            target_owner: resolved.target.rights(),
            source_owner: resolved.source.rights(),
            one: Statements::new(&resolved, &key_columns, "operator(pg_catalog.=) $1", pg_sys::INT8OID),
            many: Statements::new(
                &resolved,
                &key_columns,
                "operator(pg_catalog.=) any ($1)",
                pg_sys::INT8ARRAYOID,
            ),
            set_true_if_matched: look_and_set(true, &format!("and {exists}")),
            set_false_if_unmatched: look_and_set(false, &format!("and not {exists}")),
            // NO KEY UPDATE is what updating the column takes: it conflicts with other flushes, not with foreign-key checks. A
            // weaker lock for correct values would have to be upgraded when the transaction writes the row later, and two such
            // transactions would deadlock.
            lock_one: Statement::by_index(
                &format!(
                    "select t.{column} from {target} t where t.{id} operator(pg_catalog.=) $1 for no key update"
                ),
                &[pg_sys::INT8OID],
                &key_columns,
            ),
            lock_many: Statement::by_index(
                &format!(
                    "select pg_catalog.count(*), pg_catalog.count(*) filter (where l.value is not false),
                            pg_catalog.count(*) filter (where l.value is not true)
                       from (select t.{column} as value from {target} t where {of_keys}
                              order by t.{id} for no key update) l"
                ),
                &[pg_sys::INT8ARRAYOID],
                &key_columns,
            ),
            // The index is walked in key order, so the rows are written, and thus locked, in key order.
            set_true_in_order: Statement::by_index(
                &format!("update {target} t set {column} = true where {of_keys}"),
                &[pg_sys::INT8ARRAYOID],
                &key_columns,
            ),
            any_true_between: Statement::by_index(
                &format!(
                    "select exists (select from {target} t where t.{id} operator(pg_catalog.>=) $1
                                     and t.{id} operator(pg_catalog.<=) $2 and t.{column})"
                ),
                &[pg_sys::INT8OID; 2],
                &key_columns,
            ),
            lock_on_shard: Statement::planned_anew(
                &format!("select t.{id} from {target} t where {of_keys} order by t.{id} for no key update"),
                &[pg_sys::INT8ARRAYOID],
            ),
            set_on_shard: [false, true].map(|value| {
                Statement::planned_anew(
                    &format!("update {target} t set {column} = {value} where {of_keys} and t.{column} is not {value}"),
                    &[pg_sys::INT8ARRAYOID],
                )
            }),
            resolved,
        }
    }

    /// Sets the column of rows that Citus keeps to what it must be for what this server has seen, which may be old by now: then the
    /// guard on the shard sets it right. The rows are locked in key order first, as flushes lock them there.
    pub(super) fn set_on_shards(&self, become_false: &Keys, become_true: &Keys) -> usize {
        let all = Keys::new([become_false.as_slice(), become_true.as_slice()].concat());
        as_owner(&self.target_owner, || {
            connected(|| {
                let lock = &self.lock_on_shard;
                lock.rows(View::Own, &[keys_argument(all.as_slice())], |_| ());
                let values = [become_false, become_true].into_iter();
                let sets = values.zip(&self.set_on_shard);
                sets.filter(|(keys, _)| !keys.is_empty())
                    .map(|(keys, set)| {
                        set.run_seeing(View::Own, &[keys_argument(keys.as_slice())]) as usize
                    })
                    .sum()
            })
        })
    }

    fn statements(&self, keys: &Keys) -> &Statements {
        if keys.len() == 1 {
            &self.one
        } else {
            &self.many
        }
    }

    fn on_target(&self, statement: &Statement, keys: &Keys) -> usize {
        as_owner(&self.target_owner, || statement.run(&[keys.argument()])) as usize
    }

    /// Whether one role may read both tables, so that one statement can read and write.
    fn has_one_owner(&self) -> bool {
        self.target_owner.role == self.source_owner.role
    }

    pub(super) fn lock(&self, keys: &Keys) -> Locked {
        match keys.len() {
            1 => self.lock_one(keys),
            _ => self.lock_many(keys),
        }
    }

    fn lock_one(&self, key: &Keys) -> Locked {
        let row = as_owner(&self.target_owner, || {
            self.lock_one.first_row::<bool, 1>(&[key.argument()])
        });
        row.map_or_else(Locked::default, |[value]| Locked::one(value))
    }

    fn lock_many(&self, keys: &Keys) -> Locked {
        let row = as_owner(&self.target_owner, || {
            self.lock_many.first_row::<i64, 3>(&[keys.argument()])
        });
        let counts = row.unwrap_or_default();
        let [found, not_false, not_true] = counts.map(|count| count.unwrap_or(0) as usize);
        Locked {
            found,
            not_false,
            not_true,
        }
    }

    /// Sets the column where it is not true yet; returns how many rows it wrote.
    pub(super) fn set_true(&self, keys: &Keys) -> usize {
        self.on_target(&self.statements(keys).set_true, keys)
    }

    /// Whether an update writes in key order: partitions are written one after the other.
    pub(super) fn writes_in_order(&self) -> bool {
        !self.resolved.target.is_partitioned()
    }

    /// Sets the column of all these rows, in key order.
    pub(super) fn set_true_in_order(&self, keys: &Keys) -> usize {
        self.on_target(&self.set_true_in_order, keys)
    }

    /// Whether a cheap check shows that no row has the value true. If the keys are close together, one walk over the index takes
    /// a fifth of the time of a lookup per key, and it stops at the first true.
    pub(super) fn none_is_true(&self, keys: &Keys) -> bool {
        /// At most this many rows are read per key.
        const SPARSENESS: usize = 4;
        let (Some(first), Some(last)) = (keys.as_slice().first(), keys.as_slice().last()) else {
            return true;
        };
        if last.abs_diff(*first) > (keys.len() * SPARSENESS) as u64 {
            return false;
        }
        let row = as_owner(&self.target_owner, || {
            let statement = &self.any_true_between;
            statement.first_row::<bool, 1>(&[*first, *last].map(Datum::from))
        });
        row == Some([Some(false)])
    }

    /// Locks both tables as the flush statements do, so that any changes of them are noticed before the first statement.
    pub(super) fn lock_tables(&self) {
        let Resolved { target, source, .. } = &self.resolved;
        host::lock_for_reading(source.oid);
        host::lock_for_writing(target.oid);
    }

    /// Checks the locked rows for a match and writes those that are wrong; returns how many it wrote.
    pub(super) fn look_and_set(&self, keys: &Keys, locked: Locked) -> usize {
        let mut written = 0;
        if keys.len() == 1 && self.has_one_owner() {
            if locked.not_false > 0 {
                written += self.on_target(&self.set_false_if_unmatched, keys);
            }
            if locked.not_true > 0 {
                written += self.on_target(&self.set_true_if_matched, keys);
            }
            return written;
        }
        let matched = self.matched(keys);
        let unmatched = keys.without(&matched);
        if locked.not_false > 0 && !unmatched.is_empty() {
            written += self.on_target(&self.statements(&unmatched).set_false, &unmatched);
        }
        if locked.not_true > 0 && !matched.is_empty() {
            written += self.set_true(&matched);
        }
        written
    }

    /// The keys that have a matching source row, read with the rights of the source's owner.
    fn matched(&self, keys: &Keys) -> Keys {
        let row = as_owner(&self.source_owner, || {
            let statement = &self.statements(keys).matched;
            statement.first_row::<Vec<i64>, 1>(&[keys.argument()])
        });
        let [matched] = row.unwrap_or_default();
        Keys::new(matched.unwrap_or_default())
    }
}

kept! {
    static KEEPERS: RefCell<Known<i32, Rc<Keeper>>> = RefCell::new(Known::new());
}

/// The keeper of a definition, built again if one of its tables has changed.
pub(super) fn keeper(definition: i32) -> Result<Rc<Keeper>> {
    KEEPERS.with(|known| Known::get_or_learn(known, definition, || learn_keeper(definition)))
}

#[cold]
fn learn_keeper(definition: i32) -> Result<Rc<Keeper>> {
    let generation = host::generation();
    let definition = Definition::known(definition)?;
    host::watch(Oid::from(definition.target));
    host::watch(Oid::from(definition.source));
    Ok(Rc::new(Keeper::new(definition.resolve()?, generation)))
}

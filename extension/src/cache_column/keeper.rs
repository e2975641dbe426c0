//! A definition made ready to run: the statements that keep its column, remembered by the backend until a table changes.

use super::definition::{Definition, Resolved};
use crate::error::Result;
use crate::host;
use crate::statement::{self, Statement, as_owner};
use pgrx::pg_sys::Datum;
use pgrx::pg_sys::{self, Oid};
use std::cell::RefCell;
use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::rc::Rc;

/// Keeps one cache column: knows its definition and holds the prepared statements on its target.
pub(crate) struct Keeper {
    pub(crate) resolved: Resolved,
    target_owner: Oid,
    source_owner: Oid,
    one: Statements,
    many: Statements,
    /// Locks the target row; answers its value.
    lock_one: Statement,
    /// Locks the target rows in key order; answers how many there are, and how many are not false and not true.
    lock_many: Statement,
    /// Sets the column of all keys given, in key order, whatever its value.
    set_true_in_order: Statement,
    /// How many of the keys given have the value true.
    count_true: Statement,
    /// The keys of all rows whose value is not false.
    not_false: Statement,
}

/// The steps of a flush, for one key (`id = $1`) or for many (`id = any ($1)`).
struct Statements {
    set_true: Statement,
    set_false: Statement,
    set_true_if_matched: Statement,
    set_false_if_unmatched: Statement,
    /// Which of the keys have a matching source row.
    matched: Statement,
}

/// What the lock pass saw: counts of target rows, which stay true until the transaction ends.
#[derive(Clone, Copy, Default)]
pub(crate) struct Locked {
    pub(crate) found: usize,
    pub(crate) not_false: usize,
    pub(crate) not_true: usize,
}

impl Statements {
    fn new(
        resolved: &Resolved,
        key_columns: &Rc<[String]>,
        condition: &str,
        keys: &str,
        parameter: Oid,
    ) -> Self {
        let target = resolved.target.qualified_name();
        let column = resolved.column.quoted();
        let id = resolved.primary_key.quoted();
        let exists = resolved.exists_sql();
        let of_key = format!("t.{id} {condition}");
        let statement = |text: String| Statement::by_index(&text, &[parameter], key_columns);
        let update = |value: bool, and: &str| {
            statement(format!(
                "update {target} t set {column} = {value} where {of_key} and t.{column} is not {value}{and}"
            ))
        };
        Self {
            set_true: update(true, ""),
            set_false: update(false, ""),
            set_true_if_matched: update(true, &format!(" and {exists}")),
            set_false_if_unmatched: update(false, &format!(" and not {exists}")),
            matched: statement(format!(
                "select array(select t.{id} from {keys} as t({id}) where {exists})"
            )),
        }
    }
}

/// Keys in ascending order, without duplicates; how they are handed to a statement.
pub(crate) struct Keys(Vec<i64>);

impl Keys {
    pub(crate) fn new(mut keys: Vec<i64>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        Self(keys)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_slice(&self) -> &[i64] {
        &self.0
    }

    /// Those that are not in `other`.
    pub(crate) fn without(&self, other: &Self) -> Self {
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
            keys => statement::keys_argument(keys),
        }
    }
}

impl Keeper {
    fn new(resolved: Resolved) -> Self {
        let target = resolved.target.qualified_name();
        let column = resolved.column.quoted();
        let id = resolved.primary_key.quoted();
        let key_columns: Rc<[String]> =
            Rc::from([resolved.primary_key.name.clone(), resolved.key.name.clone()]);
        let of_keys = format!("t.{id} operator(pg_catalog.=) any ($1)");
        Self {
            target_owner: Oid::from(resolved.target.owner),
            source_owner: Oid::from(resolved.source.owner),
            one: Statements::new(
                &resolved,
                &key_columns,
                "operator(pg_catalog.=) $1",
                "(select $1)",
                pg_sys::INT8OID,
            ),
            many: Statements::new(
                &resolved,
                &key_columns,
                "operator(pg_catalog.=) any ($1)",
                "pg_catalog.unnest($1)",
                pg_sys::INT8ARRAYOID,
            ),
            // NO KEY UPDATE is what an update of the column takes: it conflicts with other flushes, not with the checks
            // of foreign keys. A weaker lock for values that are right already would have to be upgraded when the same
            // transaction writes the row later, and two such transactions would deadlock.
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
            // The index is walked in the order of its keys, so the rows are written, and thereby locked, in key order.
            set_true_in_order: Statement::by_index(
                &format!("update {target} t set {column} = true where {of_keys}"),
                &[pg_sys::INT8ARRAYOID],
                &key_columns,
            ),
            count_true: Statement::by_index(
                &format!(
                    "select pg_catalog.count(*) from {target} t where {of_keys} and t.{column}"
                ),
                &[pg_sys::INT8ARRAYOID],
                &key_columns,
            ),
            not_false: Statement::new(
                &format!(
                    "select array(select t.{id}::bigint from {target} t where t.{column} is not false)"
                ),
                &[],
            ),
            resolved,
        }
    }

    fn statements(&self, keys: &Keys) -> &Statements {
        if keys.len() == 1 {
            &self.one
        } else {
            &self.many
        }
    }

    fn on_target(&self, statement: &Statement, keys: &Keys) -> usize {
        as_owner(self.target_owner, || statement.run(&[keys.argument()])) as usize
    }

    /// Whether one role may read both tables, so that one statement can look and write.
    fn has_one_owner(&self) -> bool {
        self.target_owner == self.source_owner
    }

    pub(crate) fn lock(&self, keys: &Keys) -> Locked {
        as_owner(self.target_owner, || match keys.as_slice() {
            [_] => match self.lock_one.first_row::<bool, 1>(&[keys.argument()]) {
                None => Locked::default(),
                Some([value]) => Locked {
                    found: 1,
                    not_false: usize::from(value != Some(false)),
                    not_true: usize::from(value != Some(true)),
                },
            },
            _ => {
                let row = self.lock_many.first_row::<i64, 3>(&[keys.argument()]);
                let counts = row
                    .unwrap_or_default()
                    .map(|count| count.unwrap_or(0) as usize);
                let [found, not_false, not_true] = counts;
                Locked {
                    found,
                    not_false,
                    not_true,
                }
            }
        })
    }

    /// Sets the column where it is not true yet; returns how many rows it wrote.
    pub(crate) fn set_true(&self, keys: &Keys) -> usize {
        self.on_target(&self.statements(keys).set_true, keys)
    }

    pub(crate) fn set_true_in_order(&self, keys: &Keys) -> usize {
        as_owner(self.target_owner, || {
            self.set_true_in_order
                .run(&[statement::keys_argument(keys.as_slice())])
        }) as usize
    }

    pub(crate) fn count_true(&self, keys: &Keys) -> usize {
        let row = as_owner(self.target_owner, || {
            self.count_true
                .first_row::<i64, 1>(&[statement::keys_argument(keys.as_slice())])
        });
        let [count] = row.unwrap_or_default();
        count.unwrap_or(0) as usize
    }

    /// The keys of all target rows whose value is not false.
    pub(crate) fn keys_not_false(&self) -> Vec<i64> {
        let row = as_owner(self.target_owner, || {
            self.not_false.first_row::<Vec<i64>, 1>(&[])
        });
        let [keys] = row.unwrap_or_default();
        keys.unwrap_or_default()
    }

    /// Looks whether the locked rows have a match and writes those that say otherwise; returns how many it wrote.
    pub(crate) fn look_and_set(&self, keys: &Keys, locked: Locked) -> usize {
        let statements = self.statements(keys);
        let mut written = 0;
        if self.has_one_owner() {
            if locked.not_false > 0 {
                written += self.on_target(&statements.set_false_if_unmatched, keys);
            }
            if locked.not_true > 0 {
                written += self.on_target(&statements.set_true_if_matched, keys);
            }
        } else {
            // Neither owner needs rights on the other's table, as with foreign keys.
            let matched = as_owner(self.source_owner, || {
                statements
                    .matched
                    .first_row::<Vec<i64>, 1>(&[keys.argument()])
            });
            let [matched] = matched.unwrap_or_default();
            let matched = Keys::new(matched.unwrap_or_default());
            let unmatched = keys.without(&matched);
            if !unmatched.is_empty() {
                written += self.on_target(&self.statements(&unmatched).set_false, &unmatched);
            }
            if !matched.is_empty() {
                written += self.set_true(&matched);
            }
        }
        written
    }
}

/// Keepers of this backend, and the generation of table descriptions they were made from.
#[derive(Default)]
struct Keepers {
    generation: u64,
    by_definition: HashMap<i32, Rc<Keeper>>,
}

thread_local! {
    // Never dropped: at the end of the process the memory that the plans live in may be gone already.
    static KEEPERS: RefCell<ManuallyDrop<Keepers>> = RefCell::default();
}

/// The keeper of a definition, made anew if a table it knows has changed since.
pub(crate) fn keeper(definition: i32) -> Result<Rc<Keeper>> {
    let generation = host::generation();
    let known = KEEPERS.with_borrow_mut(|keepers| {
        if keepers.generation != generation {
            keepers.by_definition.clear();
            keepers.generation = generation;
        }
        keepers.by_definition.get(&definition).cloned()
    });
    if let Some(keeper) = known {
        return Ok(keeper);
    }
    let definition = Definition::load(definition)?;
    host::watch(Oid::from(definition.target));
    host::watch(Oid::from(definition.source));
    let id = definition.id;
    let keeper = Rc::new(Keeper::new(definition.resolve()?));
    KEEPERS.with_borrow_mut(|keepers| keepers.by_definition.insert(id, Rc::clone(&keeper)));
    Ok(keeper)
}

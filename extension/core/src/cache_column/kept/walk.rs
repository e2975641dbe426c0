//! Finds rows whose cache column is wrong, in parts, in the order of the target's keys. Each table is read as its owner, so no
//! role needs to be allowed to read both, and memory does not grow with the tables.

use super::flush::repair;
use super::keeper::{Keeper, Keys, keeper};
use crate::cache_column::defined::{Definition, Resolved};
use crate::error::Result;
use lockstep_server::host::{Known, Part};
use lockstep_server::{Answer, Rights, Statement, View, as_owner, connected, datum, keys_argument};
use pgrx::pg_sys::{self, Oid};
use std::cell::RefCell;
use std::collections::HashSet;
use std::mem::ManuallyDrop;
use std::rc::Rc;

/// Rows to check in one step.
const STEP: usize = 10_000;
/// At most this many keys are read for each one that is asked for.
const SPARSENESS: usize = 4;

/// A row whose cache column is wrong.
pub(crate) struct Wrong {
    pub(crate) key: i64,
    pub(crate) cached: Option<bool>,
    pub(crate) actual: bool,
}

/// Walks target rows in key order.
pub(crate) struct Walk {
    target_owner: Rights,
    source_owner: Rights,
    /// Keys and values of the next rows from one key to another.
    rows: Statement,
    /// Which of the given keys have a match.
    matched: Statement,
    /// The same for all keys in a range: one walk over the index, of which a partitioned source has many.
    matched_between: Statement,
}

impl Walk {
    pub(crate) fn all(resolved: &Resolved) -> Self {
        Self::new(resolved, &resolved.target.qualified_name(), "")
    }

    /// Walks the rows that may have lost their match.
    fn not_false(resolved: &Resolved) -> Self {
        let condition = format!("and t.{} is not false", resolved.column.quoted());
        Self::new(resolved, &resolved.target.qualified_name(), &condition)
    }

    /// `table` is the target or one of its partitions.
    fn new(resolved: &Resolved, table: &str, condition: &str) -> Self {
        let id = resolved.primary_key.quoted();
        let column = resolved.column.quoted();
        let key = resolved.key.quoted();
        let columns: Rc<[String]> =
            Rc::from([resolved.primary_key.name.clone(), resolved.key.name.clone()]);
        let matched = |is_given: &str, parameters: &[Oid]| {
            let text = format!(
                "select distinct s.{key}::pg_catalog.int8 from {} s where {is_given} and {}",
                resolved.source.qualified_name(),
                resolved.matches_sql("s")
            );
            resolved.source.by_index(&text, parameters, &columns)
        };
        Self {
            target_owner: resolved.target.rights(),
            source_owner: resolved.source.rights(),
            rows: resolved.target.by_index(
                &format!(
                    "select t.{id}::pg_catalog.int8, t.{column} from {table} t
                      where t.{id} operator(pg_catalog.>=) $1 and t.{id} operator(pg_catalog.<=) $2 {condition}
                      order by t.{id} limit {STEP}"
                ),
                &[pg_sys::INT8OID; 2],
                &columns,
            ),
            matched: matched(
                &format!("s.{key} operator(pg_catalog.=) any ($1)"),
                &[pg_sys::INT8ARRAYOID],
            ),
            matched_between: matched(
                &format!(
                    "s.{key} operator(pg_catalog.>=) $1 and s.{key} operator(pg_catalog.<=) $2"
                ),
                &[pg_sys::INT8OID; 2],
            ),
        }
    }

    /// The wrong ones among the next rows, and the key to continue with if there are more.
    fn step(&self, view: View, first: i64, last: i64) -> (Vec<Wrong>, Option<i64>) {
        let mut seen = Vec::new();
        connected(|| {
            as_owner(&self.target_owner, || {
                self.rows.rows(view, &[first, last].map(datum), |row| {
                    seen.extend(row.get::<i64>(1).map(|key| (key, row.get::<bool>(2))));
                });
            });
        });
        let keys: Vec<i64> = seen.iter().map(|(key, _)| *key).collect();
        let mut matched = HashSet::new();
        if let (Some(&from), Some(&to)) = (keys.first(), keys.last()) {
            let mut read = |row: &Answer| matched.extend(row.get::<i64>(1));
            let is_dense = to.abs_diff(from) <= (keys.len() * SPARSENESS) as u64;
            connected(|| {
                as_owner(&self.source_owner, || match is_dense {
                    true => {
                        let limits = [from, to].map(datum);
                        self.matched_between.rows(view, &limits, &mut read);
                    }
                    false => self.matched.rows(view, &[keys_argument(&keys)], &mut read),
                });
            });
        }
        let next = match seen.last() {
            Some((key, _)) if seen.len() == STEP && *key < last => Some(key + 1),
            _ => None,
        };
        let rows = seen.into_iter().map(|(key, cached)| Wrong {
            key,
            cached,
            actual: matched.contains(&key),
        });
        let wrong = rows.filter(|row| row.cached != Some(row.actual));
        (wrong.collect(), next)
    }

    /// All wrong rows, as the calling statement sees them.
    pub(crate) fn wrong(self) -> impl Iterator<Item = Wrong> {
        let mut from = Some(i64::MIN);
        let steps = std::iter::from_fn(move || {
            let (wrong, next) = self.step(View::Caller, from?, i64::MAX);
            from = next;
            Some(wrong)
        });
        steps.flatten()
    }

    /// Corrects at most `most` wrong rows; returns how many it wrote.
    fn repair(&self, keeper: &Rc<Keeper>, first: i64, last: i64, most: usize) -> usize {
        let mut written = 0;
        let mut from = Some(first);
        while let Some(first) = from.filter(|_| written < most) {
            let (wrong, next) = self.step(View::Newest, first, last);
            let wrong = wrong.into_iter().take(most - written);
            written += match keeper.resolved.is_distributed() {
                true => {
                    let (become_true, become_false): (Vec<_>, Vec<_>) =
                        wrong.partition(|wrong| wrong.actual);
                    let keys =
                        |rows: Vec<Wrong>| Keys::new(rows.iter().map(|row| row.key).collect());
                    keeper.set_on_shards(&keys(become_false), &keys(become_true))
                }
                false => repair(Rc::clone(keeper), wrong.map(|wrong| wrong.key).collect()),
            };
            from = next;
        }
        written
    }
}

/// Corrects at most `most` rows of a definition; returns how many it wrote.
pub(crate) fn repair_all(definition: i32, most: usize) -> Result<usize> {
    let keeper = keeper(definition)?;
    let walk = Walk::all(&keeper.resolved);
    Ok(walk.repair(&keeper, i64::MIN, i64::MAX, most))
}

/// After source rows disappeared without row triggers: checks all targets that are not false.
pub(crate) fn look_at_all(definition: i32) -> Result<()> {
    let keeper = keeper(definition)?;
    let walk = Walk::not_false(&keeper.resolved);
    walk.repair(&keeper, i64::MIN, i64::MAX, usize::MAX);
    Ok(())
}

/// After a partition with rows was attached to the target.
pub(crate) fn look_at_part_of_target(definition: i32, part: &Part) -> Result<()> {
    let keeper = keeper(definition)?;
    let mut walk = Walk::new(&keeper.resolved, &part.name, "");
    walk.target_owner = walk.target_owner.with_role(part.owner);
    walk.repair(&keeper, i64::MIN, i64::MAX, usize::MAX);
    Ok(())
}

/// After a partition with rows was attached to the source: checks the targets that these rows match.
pub(crate) fn look_at_part_of_source(definition: i32, part: &Part) -> Result<()> {
    let keeper = keeper(definition)?;
    let key = keeper.resolved.key.quoted();
    let matching = Statement::new(
        &format!(
            "select array(select distinct s.{key}::pg_catalog.int8 from {} s
                           where s.{key} operator(pg_catalog.>=) $1 and {} order by 1 limit {STEP})",
            part.name,
            keeper.resolved.matches_sql("s")
        ),
        &[pg_sys::INT8OID],
    );
    let owner = keeper.resolved.source.rights().with_role(part.owner);
    let mut from = Some(i64::MIN);
    while let Some(first) = from {
        let row = connected(|| {
            as_owner(&owner, || {
                matching.first_row::<Vec<i64>, 1>(&[datum(first)])
            })
        });
        let [keys] = row.unwrap_or_default();
        let keys = keys.unwrap_or_default();
        from = keys.last().and_then(|last| last.checked_add(1));
        repair(Rc::clone(&keeper), keys);
    }
    Ok(())
}

/// Notes of each wrong value of a table what it would become, as the calling statement sees it, and the row's key.
pub(crate) fn preview(target: u32, note: &mut dyn FnMut(&str, i64)) -> Result<()> {
    for definition in Definition::of_table(target)? {
        if definition.target != target {
            continue;
        }
        let column = definition.target_column.clone();
        for wrong in Walk::all(&definition.resolve()?).wrong() {
            let cached = wrong
                .cached
                .map_or_else(|| "null".to_owned(), |cached| cached.to_string());
            note(
                &format!("{column}: {cached} -> {}", wrong.actual),
                wrong.key,
            );
        }
    }
    Ok(())
}

/// Corrects all cache columns of the target rows with keys from `first` to `last`; returns how many values it wrote. Correct rows
/// are not even locked.
pub(crate) fn repair_range(target: u32, first: i64, last: i64) -> Result<usize> {
    thread_local! {
        // Never dropped, see `Keeper`.
        static WALKS: ManuallyDrop<RefCell<Known<i32, Rc<Walk>>>> =
            const { ManuallyDrop::new(RefCell::new(Known::new())) };
    }
    let mut written = 0;
    for definition in Definition::of_table(target)? {
        if definition.target != target {
            continue;
        }
        let keeper = keeper(definition.id)?;
        let walk = WALKS.with(|known| {
            Known::get_or_learn(known, definition.id, || {
                Ok(Rc::new(Walk::all(&keeper.resolved)))
            })
        })?;
        written += walk.repair(&keeper, first, last, usize::MAX);
    }
    Ok(written)
}

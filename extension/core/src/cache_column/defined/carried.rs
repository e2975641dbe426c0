//! A definition in the argument of a trigger. Citus creates the triggers of a table on its shards, on other servers, which have no
//! definitions. So there the trigger brings its definition along, and names tables by the numbers of their shards, which stay
//! when a table is renamed or moved.

use super::definition::Definition;
use crate::error::{CacheColumnError, HostError, Result};
use lockstep_server::host::{Relation, check_have_one_owner};
use lockstep_server::{shard_of, shards_together, table_of};
use pgrx::pg_sys::{
    TRIGGER_TYPE_BEFORE as BEFORE, TRIGGER_TYPE_DELETE as DELETE, TRIGGER_TYPE_INSERT as INSERT,
    TRIGGER_TYPE_ROW as ROW, TRIGGER_TYPE_UPDATE as UPDATE,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cell::{Cell, RefCell};

#[derive(Serialize, Deserialize)]
struct Carried {
    definition: i32,
    /// The number of the target's shard.
    target: i64,
    column: String,
    /// The number of the source's shard.
    source: i64,
    key: String,
    #[serde(rename = "match")]
    matches: Value,
}

thread_local! {
    /// The definitions that triggers brought to this backend.
    static BROUGHT: RefCell<Vec<Definition>> = const { RefCell::new(Vec::new()) };
    /// The number of the last one.
    static LAST: Cell<i32> = const { Cell::new(0) };
}

impl Definition {
    /// Checks that both tables are of this server, or that triggers on the shards of one always find those of the other.
    pub(super) fn check_lies_together(&self, target: &Relation, source: &Relation) -> Result<()> {
        let tables = [target, source];
        let Some(distributed) = tables.iter().find(|table| table.is_distributed()) else {
            return Ok(());
        };
        let table = distributed.qualified_name();
        if tables.iter().any(|table| table.is_partitioned()) {
            Err(CacheColumnError::DistributedParts { table }.into())
        } else if self.fire_always {
            Err(CacheColumnError::DistributedAlways { table }.into())
        } else if shards_together(target.oid, source.oid).is_none()
            || target.schema() != source.schema()
        {
            Err(HostError::CitusApart { table }.into())
        } else {
            check_have_one_owner(&tables)
        }
    }

    /// What its triggers have as their argument: its number, or itself where Citus distributes its tables.
    pub(super) fn argument(&self) -> String {
        let Some([target, source]) = shards_together(self.target, self.source) else {
            return self.id.to_string();
        };
        let carried = Carried {
            definition: self.id,
            target,
            column: self.target_column.clone(),
            source,
            key: self.key_column.clone(),
            matches: self.matches.clone(),
        };
        // Names and plain values are always JSON.
        serde_json::to_string(&carried).unwrap_or_default()
    }

    /// The definition in an argument, if there is one. `table` gives the table here that a shard's number stands for; a missing one
    /// gets an OID that no table has.
    pub(crate) fn carried_in(argument: &str, table: fn(i64) -> Option<u32>) -> Option<Self> {
        let carried: Carried = serde_json::from_str(argument).ok()?;
        Some(Self {
            id: carried.definition,
            target: table(carried.target).unwrap_or_default(),
            target_column: carried.column,
            source: table(carried.source).unwrap_or_default(),
            key_column: carried.key,
            matches: carried.matches,
            guard: true,
            fire_always: false,
            origin: String::new(),
            disabled_triggers: Vec::new(),
            always_triggers: Vec::new(),
            target_name: Vec::new(),
            source_name: Vec::new(),
            partitions: Vec::new(),
        })
    }

    /// Fails if one of the shards in an argument is on another server, as when their tables are no longer kept together.
    pub(crate) fn check_lies_here(argument: &str) -> Result<()> {
        let Ok(carried) = serde_json::from_str::<Carried>(argument) else {
            return Ok(());
        };
        for shard in [carried.target, carried.source] {
            if shard_of(shard).is_none()
                && let Some(table) = table_of(shard)
            {
                let table = Relation::describe(table)?.qualified_name();
                return Err(HostError::CitusApart { table }.into());
            }
        }
        Ok(())
    }

    /// The tables that it names, as far as they exist.
    fn tables(&self) -> impl Iterator<Item = Relation> {
        let tables = [self.target, self.source].into_iter();
        tables.filter_map(|table| Relation::describe(table).ok())
    }

    /// The one of its tables that exists, if the other does not.
    pub(crate) fn remaining_table(&self) -> Option<Relation> {
        let mut tables = self.tables();
        let first = tables.next()?;
        match tables.next() {
            Some(_) => None,
            None => Some(first),
        }
    }

    /// Whether both tables have the triggers of this argument that each definition has. Anyone can write an argument for a trigger on
    /// a table of their own, or of others with the privilege for it. So the tables must also be ones that could have the definition:
    /// in one schema and with one owner, as whom it reads the source and writes the target.
    pub(crate) fn is_agreed_by_tables(&self, argument: &str) -> bool {
        let [Ok(target), Ok(source)] = [self.target, self.source].map(Relation::describe) else {
            return false;
        };
        let has = |table: &Relation, function: &str, kind: u32| {
            table.triggers().iter().any(|it| {
                it.function.as_deref() == Some(function)
                    && it.kind == kind
                    && it.fires
                    && it.arguments.iter().any(|it| it == argument)
            })
        };
        target.owner == source.owner
            && target.schema() == source.schema()
            && has(&target, "set_false_on_insert", ROW | BEFORE | INSERT)
            && has(&source, "note_changed", ROW | INSERT | DELETE | UPDATE)
    }

    /// Keeps a carried definition in this backend; returns its number here, below zero, by which it is known.
    pub(crate) fn bring(mut self) -> i32 {
        let known = BROUGHT.with_borrow(|brought| {
            let is_same = |it: &&Self| {
                (it.target, it.source) == (self.target, self.source)
                    && it.target_column == self.target_column
                    && it.key_column == self.key_column
                    && it.matches == self.matches
            };
            brought.iter().find(is_same).map(|it| it.id)
        });
        if let Some(known) = known {
            return known;
        }
        Self::forget_gone();
        // No number is given twice, as things are remembered by it.
        let number = LAST.get() - 1;
        LAST.set(number);
        self.id = number;
        BROUGHT.with_borrow_mut(|brought| brought.push(self));
        number
    }

    /// Forgets definitions whose tables are gone, as after a move of their shards; only when there are many, as it takes time.
    fn forget_gone() {
        /// Those of a hundred schemas.
        const MANY: usize = 256;
        let count = BROUGHT.with_borrow(Vec::len);
        if count == 0 || !count.is_multiple_of(MANY) {
            return;
        }
        let mut here = BROUGHT.with_borrow(Vec::clone);
        here.retain(|it| it.tables().next().is_some());
        BROUGHT.set(here);
    }

    /// The definition with that number of this backend.
    pub(super) fn brought(number: i32) -> Option<Self> {
        BROUGHT.with_borrow(|brought| brought.iter().find(|it| it.id == number).cloned())
    }
}

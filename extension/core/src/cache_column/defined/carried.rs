//! A definition in the argument of a trigger. Citus creates the triggers of a table on its shards, on other servers, which have no
//! definitions. So there the trigger brings its definition along, and names tables by the numbers of their shards, which stay
//! when a table is renamed or moved.

use super::definition::Definition;
use crate::error::{CacheColumnError, HostError, Result};
use lockstep_server::host::Relation;
use lockstep_server::{shard_of, shards_together, table_of};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cell::RefCell;

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
        } else if shards_together(target.oid, source.oid).is_none() {
            Err(HostError::CitusTable { table }.into())
        } else {
            Ok(())
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
                return Err(HostError::CitusTable { table }.into());
            }
        }
        Ok(())
    }

    /// Whether each of its tables, as far as they exist, has a trigger of ours with this argument. Anyone can write an argument for
    /// a trigger on a table of their own; that both tables have it shows that their owners agree.
    pub(crate) fn is_agreed_by_tables(&self, argument: &str) -> bool {
        let mut tables = [self.target, self.source]
            .into_iter()
            .filter_map(|table| Relation::describe(table).ok());
        tables.all(|table| {
            let mut triggers = table.triggers().iter().filter(|it| it.function.is_some());
            triggers.any(|it| it.arguments.iter().any(|it| it == argument))
        })
    }

    /// Keeps a carried definition in this backend; returns its number here, below zero, by which it is loaded.
    pub(crate) fn bring(mut self) -> i32 {
        BROUGHT.with_borrow_mut(|brought| {
            let number = |place: usize| -1 - place as i32;
            let key = |it: &Self| (it.target, it.source, it.target_column.clone());
            let found = brought.iter().position(|it| {
                key(it) == key(&self)
                    && it.key_column == self.key_column
                    && it.matches == self.matches
            });
            let place = found.unwrap_or(brought.len());
            self.id = number(place);
            if found.is_none() {
                brought.push(self);
            }
            number(place)
        })
    }

    /// The definition with that number of this backend.
    pub(super) fn brought(number: i32) -> Option<Self> {
        let place = usize::try_from(-1 - number).ok()?;
        BROUGHT.with_borrow(|brought| brought.get(place).cloned())
    }
}

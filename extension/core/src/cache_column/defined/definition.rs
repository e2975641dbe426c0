//! The definition of a cache column, checked against the tables as they are now.

use super::condition::{Condition, conditions};
use crate::error::{CacheColumnError, Result, ServerError};
use lockstep_server::host::{Column, InstalledTrigger, Reference, Relation, Writes};
use lockstep_server::kept;
use lockstep_server::{Answer, Statement, View, as_ourselves, connected, datum, with_catalog_path};
use pgrx::pg_sys::{self, Oid};
use serde::Serialize;
use serde_json::Value;

/// A row of lockstep_internal.cache_column_definition.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Definition {
    pub(crate) id: i32,
    pub(crate) target: u32,
    pub(crate) target_column: String,
    pub(crate) source: u32,
    pub(crate) key_column: String,
    #[serde(rename = "match")]
    pub(crate) matches: Value,
    pub(crate) guard: bool,
    pub(crate) fire_always: bool,
    pub(crate) origin: String,
    pub(crate) disabled_triggers: Vec<String>,
    /// Those of them that fired under session_replication_role = replica as well.
    pub(crate) always_triggers: Vec<String>,
    /// Schema and name of target and source when they were last checked: another table may have these names now.
    pub(crate) target_name: Vec<String>,
    pub(crate) source_name: Vec<String>,
    /// The partitions of both tables whose rows were checked, in order.
    pub(crate) partitions: Vec<u32>,
}

/// Reads the definitions that fulfil a condition on a text.
fn query(condition: &str) -> Statement {
    Statement::new(
        &format!(
            "select d.id, d.target_table::oid, d.target_column::text, d.source_table::oid, d.key_column::text, d.match::text,
                    d.guard, d.fire_always, d.origin, d.disabled_triggers::text[], d.always_triggers::text[],
                    d.target_name::text[], d.source_name::text[], d.partitions::oid[]
               from lockstep_internal.cache_column_definition d where {condition} order by d.id"
        ),
        &[pg_sys::TEXTOID],
    )
}

kept! {
    // A trigger loads all definitions that it serves.
    static BY_ID: Statement = query("d.id = $1::integer");
}

impl Definition {
    /// Reads one definition, or finds it among those that triggers brought.
    pub(crate) fn known(id: i32) -> Result<Self> {
        match Self::brought(id) {
            Some(brought) => Ok(brought),
            None => Self::load(id),
        }
    }

    /// The same with the names that its tables have now.
    pub(crate) fn named_as(&self, target: &Relation, source: &Relation) -> Self {
        Self {
            target_name: target.names().into(),
            source_name: source.names().into(),
            ..self.clone()
        }
    }

    /// `attach` disables a trigger of the application. It gets back the state that it has now.
    pub(crate) fn will_give_back(&mut self, trigger: &InstalledTrigger) {
        let name = &trigger.name;
        for list in [&mut self.disabled_triggers, &mut self.always_triggers] {
            list.retain(|other| other != name);
        }
        self.disabled_triggers.push(name.clone());
        if trigger.fires_always {
            self.always_triggers.push(name.clone());
        }
    }

    pub(crate) fn has_other_names(&self, than: &Self) -> bool {
        (&self.target_name, &self.source_name) != (&than.target_name, &than.source_name)
    }

    /// Reads one definition, regardless of the transaction's snapshot.
    pub(crate) fn load(id: i32) -> Result<Self> {
        BY_ID
            .with(|query| Self::select(query, &id.to_string()))?
            .into_iter()
            .next()
            .ok_or(CacheColumnError::DefinitionMissing { id }.into())
    }

    /// The definition of a column, if it has one.
    pub(crate) fn of_column(target: u32, column: &str) -> Result<Option<Self>> {
        let all = Self::select(&query("d.target_table = $1::oid"), &target.to_string())?;
        Ok(all
            .into_iter()
            .find(|definition| definition.target_column == column))
    }

    /// Every definition that has the table as its source or target.
    pub(crate) fn of_table(table: u32) -> Result<Vec<Self>> {
        Self::select(
            &query("$1::oid in (d.source_table, d.target_table)"),
            &table.to_string(),
        )
    }

    pub(crate) fn all() -> Result<Vec<Self>> {
        Self::select(&query("$1 = ''"), "")
    }

    /// The columns of the source that decide the value.
    pub(crate) fn source_columns(&self) -> impl Iterator<Item = &str> {
        let matched = self.matches.as_object().into_iter().flatten();
        std::iter::once(self.key_column.as_str()).chain(matched.map(|(name, _)| name.as_str()))
    }

    fn select(query: &Statement, argument: &str) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        let mut read = |row: &Answer| found.push(Self::read(row));
        as_ourselves(|| {
            with_catalog_path(|| {
                connected(|| query.rows(View::NewestReadOnly, &[datum(argument)], &mut read));
            });
        });
        found.into_iter().collect()
    }

    fn read(row: &Answer) -> Result<Self> {
        let oid = |column| row.get::<Oid>(column).unwrap_or(Oid::INVALID).to_u32();
        let text = |column| row.get::<String>(column).unwrap_or_default();
        let texts = |column| row.get::<Vec<String>>(column).unwrap_or_default();
        let is = |column| row.get(column).unwrap_or(false);
        let partitions = row.get::<Vec<Oid>>(14).unwrap_or_default();
        let mut partitions: Vec<u32> = partitions.into_iter().map(Oid::to_u32).collect();
        partitions.sort_unstable();
        Ok(Self {
            id: row.get(1).unwrap_or_default(),
            target: oid(2),
            target_column: text(3),
            source: oid(4),
            key_column: text(5),
            matches: serde_json::from_str(&text(6)).map_err(ServerError::catalog)?,
            guard: is(7),
            fire_always: is(8),
            origin: text(9),
            disabled_triggers: texts(10),
            always_triggers: texts(11),
            target_name: texts(12),
            source_name: texts(13),
            partitions,
        })
    }

    /// Looks up the tables and columns it names, and checks that the definition can be maintained.
    pub(crate) fn resolve(self) -> Result<Resolved> {
        let target = Relation::describe(self.target)?;
        let source = Relation::describe(self.source)?;
        target.check_is_complete_table()?;
        source.check_is_complete_table()?;
        self.check_lies_together(&target, &source)?;
        let column = target.column(&self.target_column)?.clone();
        if !column.is_boolean() {
            return Err(CacheColumnError::TargetColumnNotBoolean {
                table: target.qualified_name(),
                column: column.name,
                actual: column.type_name,
            }
            .into());
        }
        if column.is_generated() {
            return Err(CacheColumnError::TargetColumnGenerated {
                table: target.qualified_name(),
                column: column.name,
            }
            .into());
        }
        let primary_key = target.integer_primary_key()?.clone();
        let key = source.integer_column(&self.key_column)?.clone();
        let conditions = conditions(&self.matches, &source)?;
        if source.oid == target.oid
            && conditions
                .iter()
                .any(|condition| condition.column.name == column.name)
        {
            return Err(CacheColumnError::MatchOnTargetColumn {
                column: column.name,
            }
            .into());
        }
        // Under the replica role, where these triggers fire too, foreign keys are not enforced.
        let reference = match self.fire_always {
            true => Reference::default(),
            false => source.reference(&key.name, &target, &primary_key.name),
        };
        Ok(Resolved {
            definition: self,
            target,
            source,
            column,
            primary_key,
            key,
            conditions,
            reference,
        })
    }
}

/// A definition with its tables and columns.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub(crate) definition: Definition,
    pub(crate) target: Relation,
    pub(crate) source: Relation,
    /// The cache column.
    pub(crate) column: Column,
    /// The target's primary key.
    pub(crate) primary_key: Column,
    /// The source column that refers to the target's primary key.
    pub(crate) key: Column,
    pub(crate) conditions: Vec<Condition>,
    /// What foreign keys guarantee.
    pub(crate) reference: Reference,
}

impl Resolved {
    /// Whether Citus keeps the rows of both tables in shards, where triggers with the definition in their arguments maintain it.
    pub(crate) fn is_distributed(&self) -> bool {
        self.target.is_distributed()
    }

    /// Whether a value that somebody else writes is looked at. Always on shards: that is how other servers ask them to look.
    pub(crate) fn is_guarded(&self) -> bool {
        self.definition.guard || self.is_distributed()
    }

    /// Whether a row that is inserted may find source rows under its key. One that moves to another partition is inserted there.
    pub(crate) fn notes_arrival(&self) -> bool {
        let moves_with_key = self.target.is_partitioned() && !self.reference.excludes_shift;
        !self.reference.excludes_arrival || moves_with_key
    }

    /// Our triggers can be created on both tables.
    pub(crate) fn check_trigger_names(&self) -> Result<()> {
        self.target.check_trigger_names()?;
        self.source.check_trigger_names()
    }

    /// Whether all rows are on this server and are written under our triggers, which DDL may change later.
    pub(crate) fn check_is_whole(&self) -> Result<()> {
        for table in [&self.target, &self.source] {
            table.check_is_no_child()?;
            table.check_has_no_foreign_partition()?;
            table.check_owns_partitions()?;
        }
        Ok(())
    }

    /// What else DDL may change later: the source's rows outlive a crash, an enum still has the label of a match, and the column can
    /// be written.
    pub(crate) fn check_lasting(&self) -> Result<()> {
        self.conditions
            .iter()
            .try_for_each(Condition::check_label)?;
        self.target
            .check_defers_nothing(Writes::Column(&self.column.name))?;
        match self.source.unlogged_table() {
            Some(table) => Err(CacheColumnError::UnloggedSource { table }.into()),
            None => Ok(()),
        }
    }

    /// What tables must have for a new definition, and some of it need not have later: dropping an index makes flushes slow, but not
    /// wrong.
    pub(crate) fn check_fits(&self) -> Result<()> {
        if !self.source.has_index_starting_with(&self.key.name) {
            return Err(CacheColumnError::KeyWithoutIndex {
                table: self.source.qualified_name(),
                column: self.key.name.clone(),
            }
            .into());
        }
        self.check_is_whole()?;
        self.check_lasting()
    }

    /// Requirements for adding a definition. Also rewrites the match to mean the same in every session.
    pub(crate) fn prepare_to_install(&mut self) -> Result<()> {
        self.check_trigger_names()?;
        self.check_fits()?;
        for condition in &mut self.conditions {
            condition.make_canonical()?;
            let name = &condition.column.name;
            if let Some(Value::String(text)) = self.definition.matches.get_mut(name) {
                condition.constant().clone_into(text);
            }
        }
        Ok(())
    }

    /// Whether the source row called `row` matches, as SQL.
    pub(crate) fn matches_sql(&self, row: &str) -> String {
        let conditions: Vec<String> = self
            .conditions
            .iter()
            .map(|condition| condition.sql(row))
            .collect();
        conditions.join(" and ")
    }

    /// Whether the target row called `t` has a matching source row, as SQL.
    pub(crate) fn exists_sql(&self) -> String {
        format!(
            "exists (select from {} s where s.{} operator(pg_catalog.=) t.{} and {})",
            self.source.qualified_name(),
            self.key.quoted(),
            self.primary_key.quoted(),
            self.matches_sql("s")
        )
    }
}

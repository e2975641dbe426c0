//! A table as the catalogs describe it.

use super::column::Column;
use super::watch::watch_for;
use crate::citus::check_is_not_on_worker;
use crate::error::{HostError, Result};
use crate::rights::role_has_rights_of;
use crate::{Rights, Statement, connected, datum, role_name, with_catalog_path};
use pgrx::pg_sys::{self, Oid};
use pgrx::spi::quote_qualified_identifier;
use std::rc::Rc;

/// What triggers and definition checks need to know about a table.
#[derive(Clone, Debug)]
pub struct Relation {
    pub oid: u32,
    pub owner: u32,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) kind: char,
    pub(super) persistence: char,
    pub(super) is_of_extension: bool,
    /// Its rows are elsewhere, or copied.
    pub(super) is_managed_by_citus: bool,
    /// A BEFORE trigger can change columns that an update does not name.
    pub rewrites_updates: bool,
    /// Rows use PostgreSQL's heap access method, whose tuple headers show whether a row was changed again.
    pub is_heap: bool,
    /// The table itself, then the partitioned tables above it.
    pub ancestors: Vec<u32>,
    /// All tables below it, if it is partitioned.
    pub partitions: Vec<Part>,
    pub(super) has_inheritance_children: bool,
    /// It has parents, and is no partition.
    pub(super) is_inheritance_child: bool,
    pub(super) columns: Vec<Column>,
    pub(super) primary_key: Vec<String>,
    /// Columns that a valid, complete btree index starts with.
    pub(super) indexed: Vec<String>,
    /// Single-column foreign keys that are checked by the end of every statement.
    pub(super) foreign_keys: Vec<ForeignKey>,
    /// Triggers of this table, other than PostgreSQL's internal ones.
    pub(super) triggers: Vec<InstalledTrigger>,
}

/// A table below a partitioned one.
#[derive(Clone, Debug)]
pub struct Part {
    pub oid: u32,
    pub owner: u32,
    /// The qualified name, quoted where necessary.
    pub name: String,
    pub is_partitioned: bool,
    pub(super) is_unlogged: bool,
    pub(super) is_foreign: bool,
}

#[derive(Clone, Debug)]
pub(super) struct ForeignKey {
    pub(super) column: String,
    pub(super) target: u32,
    pub(super) target_column: String,
    /// When a target row is deleted, rows here may keep its key: it is only checked at the end of the statement whether a row with that
    /// key exists again.
    pub(super) waits_on_delete: bool,
    /// A change of the target's key cascades to rows here, or is forbidden.
    pub(super) follows_update: bool,
}

/// What a foreign key from source to target guarantees.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference {
    /// A source row never exists before its target row.
    pub exists: bool,
    /// A target row is never inserted under a key that source rows already use, unless another one has just left that key by a change of
    /// it.
    pub excludes_arrival: bool,
    /// A target row that changes its key also changes its source rows, and finds none under the new key.
    pub excludes_shift: bool,
}

/// The name, state and function of a trigger.
#[derive(Clone, Debug)]
pub struct InstalledTrigger {
    pub name: String,
    pub enabled: bool,
    /// It fires for what the application writes.
    pub fires: bool,
    /// It fires under session_replication_role = replica as well.
    pub fires_always: bool,
    /// When it fires, as in pg_trigger.tgtype.
    pub kind: u32,
    /// The name of its function, if it is one of ours.
    pub function: Option<String>,
    pub arguments: Vec<String>,
    /// It is enabled and fires before each row of an update.
    pub(super) rewrites_updates: bool,
    /// It fires for each row, and is no copy of a partitioned table's trigger.
    pub(super) is_own_row_trigger: bool,
}

impl Relation {
    /// The table with that name in a schema. Views do not count.
    pub fn find_table(schema: &str, name: &str) -> Result<Option<Self>> {
        let query = Statement::new(
            "select c.oid::bigint::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
              where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')",
            &[pg_sys::TEXTOID, pg_sys::TEXTOID],
        );
        let arguments = [schema, name].map(datum);
        let find = || with_catalog_path(|| connected(|| query.text(&arguments)));
        let found = match find() {
            // It may have been created before it was watched for.
            None if watch_for(schema, name) => find(),
            found => found,
        };
        found
            .and_then(|text| text.parse().ok())
            .map(Self::describe)
            .transpose()
    }

    /// The rights and search path of code that its owner has attached to it.
    pub fn rights(&self) -> Rights {
        Rights::of(self.owner, &self.qualified_name())
    }

    /// The qualified name, quoted where necessary: safe for SQL text and messages.
    pub fn qualified_name(&self) -> String {
        quote_qualified_identifier(&self.schema, &self.name)
    }

    /// Schema and name, unquoted.
    pub fn names(&self) -> [String; 2] {
        [self.schema.clone(), self.name.clone()]
    }

    /// The name, unquoted.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The schema, unquoted.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    pub fn is_partitioned(&self) -> bool {
        self.kind == 'p'
    }

    /// Whether Citus keeps its rows, in shards or as copies.
    pub fn is_distributed(&self) -> bool {
        self.is_managed_by_citus
    }

    /// A statement that uses the indexes of these columns, if the rows are on this server.
    pub fn by_index(&self, text: &str, parameters: &[Oid], columns: &Rc<[String]>) -> Statement {
        match self.is_managed_by_citus {
            // Citus makes its plans for the arguments of each run.
            true => Statement::planned_anew(text, parameters),
            false => Statement::by_index(text, parameters, columns),
        }
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub fn find_column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    pub fn column(&self, name: &str) -> Result<&Column> {
        self.find_column(name).ok_or_else(|| {
            HostError::NoSuchColumn {
                table: self.qualified_name(),
                column: name.to_owned(),
            }
            .into()
        })
    }

    pub fn is_temporary(&self) -> bool {
        self.persistence == 't'
    }

    /// Checks that it is a permanent, complete table of this server: not a view, not a partition, and without inheritance
    /// children, whose rows its triggers would miss.
    pub fn check_is_permanent_table(&self) -> Result<()> {
        let table = self.qualified_name();
        match self.is_managed_by_citus && self.oid >= pg_sys::FirstNormalObjectId {
            true => Err(HostError::CitusTable { table }.into()),
            false => self.check_is_complete_table(),
        }
    }

    /// The same, but its rows may be on other servers.
    pub fn check_is_complete_table(&self) -> Result<()> {
        let table = self.qualified_name();
        if self.oid < pg_sys::FirstNormalObjectId {
            Err(HostError::SystemTable { table }.into())
        } else if self.is_of_extension {
            Err(HostError::ExtensionTable { table }.into())
        } else if !matches!(self.kind, 'r' | 'p') || self.ancestors.len() > 1 {
            Err(HostError::NotATable { table }.into())
        } else if self.persistence == 't' {
            Err(HostError::TemporaryTable { table }.into())
        } else if self.has_inheritance_children {
            Err(HostError::InheritanceParent { table }.into())
        } else {
            Ok(())
        }
    }

    /// It, or one of its partitions, if that is empty after a crash.
    pub fn unlogged_table(&self) -> Option<String> {
        if self.persistence == 'u' {
            return Some(self.qualified_name());
        }
        let part = self.partitions.iter().find(|part| part.is_unlogged)?;
        Some(part.name.clone())
    }

    /// Checks that all its rows are on this server.
    pub fn check_has_no_foreign_partition(&self) -> Result<()> {
        match self.partitions.iter().find(|part| part.is_foreign) {
            Some(part) => Err(HostError::ForeignPartition {
                partition: part.name.clone(),
            }
            .into()),
            None => Ok(()),
        }
    }

    /// Checks that all statements that write its rows fire its statement triggers.
    pub fn check_is_no_child(&self) -> Result<()> {
        match self.is_inheritance_child {
            true => Err(HostError::InheritanceChild {
                table: self.qualified_name(),
            }
            .into()),
            false => Ok(()),
        }
    }

    /// Checks that its owner may create triggers on all its partitions.
    pub fn check_owns_partitions(&self) -> Result<()> {
        let is_others = |part: &&Part| !role_has_rights_of(self.owner, part.owner);
        match self.partitions.iter().find(is_others) {
            Some(part) => Err(HostError::PartitionOwner {
                partition: part.name.clone(),
                owner: role_name(Oid::from(self.owner)),
            }
            .into()),
            None => Ok(()),
        }
    }

    /// The columns of the primary key, in order.
    pub fn primary_key(&self) -> Result<&[String]> {
        match self.primary_key.as_slice() {
            [] => Err(HostError::NoPrimaryKey {
                table: self.qualified_name(),
            }
            .into()),
            names => Ok(names),
        }
    }

    /// Checks that a unique index has exactly these columns, in this order, and that none is nullable.
    pub fn check_is_unique_key(&self, columns: &[String]) -> Result<()> {
        for column in columns {
            self.column(column)?;
        }
        let query = Statement::new(
            "select 'yes' from pg_index i
              where i.indrelid = $1 and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null
                and i.indnkeyatts = cardinality($2) and $2 = array(
                  select a.attname::text from unnest(i.indkey::smallint[]) with ordinality k(attnum, place)
                    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum and a.attnotnull
                   where k.place <= i.indnkeyatts order by k.place)
              limit 1",
            &[pg_sys::OIDOID, pg_sys::TEXTARRAYOID],
        );
        let arguments = [datum(Oid::from(self.oid)), datum(columns.to_vec())];
        match with_catalog_path(|| connected(|| query.text(&arguments))) {
            Some(_) => Ok(()),
            None => Err(HostError::KeyNotUnique {
                table: self.qualified_name(),
                columns: columns.join(", "),
            }
            .into()),
        }
    }

    /// PostgreSQL's row estimate; if the table was never analyzed, as many as its pages may hold.
    pub fn rows_estimated(&self) -> i64 {
        let query = Statement::new(
            "select coalesce(sum(case when c.reltuples >= 0 then c.reltuples::bigint
                                      else pg_relation_size(c.oid) / 100 end), 0)::bigint::text
               from pg_class c
              where c.oid = $1 or c.oid in (select p.relid from pg_partition_tree($1) p where p.isleaf)",
            &[pg_sys::OIDOID],
        );
        let argument = datum(Oid::from(self.oid));
        let rows = with_catalog_path(|| connected(|| query.text(&[argument])));
        rows.and_then(|rows| rows.parse().ok()).unwrap_or_default()
    }

    /// The primary key, if it is a single integer column.
    pub fn integer_primary_key(&self) -> Result<&Column> {
        match self.primary_key.as_slice() {
            [] => Err(HostError::NoPrimaryKey {
                table: self.qualified_name(),
            }
            .into()),
            [name] => self.integer_column(name),
            names => Err(HostError::CompositePrimaryKey {
                table: self.qualified_name(),
                columns: names.join(", "),
            }
            .into()),
        }
    }

    pub fn integer_column(&self, name: &str) -> Result<&Column> {
        let column = self.column(name)?;
        if column.integer_width().is_some() {
            return Ok(column);
        }
        Err(HostError::KeyType {
            table: self.qualified_name(),
            column: column.name.clone(),
            actual: column.type_name.clone(),
        }
        .into())
    }

    pub fn has_index_starting_with(&self, column: &str) -> bool {
        self.indexed.iter().any(|indexed| indexed == column)
    }

    /// What the foreign keys from `column` here to `target_column` there guarantee.
    pub fn reference(&self, column: &str, target: &Self, target_column: &str) -> Reference {
        let keys = self.foreign_keys.iter().filter(|key| {
            key.column == column && key.target == target.oid && key.target_column == target_column
        });
        keys.fold(Reference::default(), |reference, key| Reference {
            exists: true,
            excludes_arrival: reference.excludes_arrival || !key.waits_on_delete,
            excludes_shift: reference.excludes_shift
                || (key.follows_update && !key.waits_on_delete),
        })
    }

    pub fn trigger(&self, name: &str) -> Option<&InstalledTrigger> {
        self.triggers.iter().find(|trigger| trigger.name == name)
    }

    /// The trigger with that name, if it is one of ours: another trigger may have the same name.
    pub fn own_trigger(&self, name: &str) -> Option<&InstalledTrigger> {
        self.trigger(name).filter(|it| it.function.is_some())
    }

    pub fn triggers(&self) -> &[InstalledTrigger] {
        &self.triggers
    }
}

/// Checks that the schema exists, and that its tables can be looked for on this server.
pub fn check_schema(name: &str) -> Result<()> {
    check_is_not_on_worker()?;
    let query = Statement::new(
        "select n.nspname::text from pg_namespace n where n.nspname = $1",
        &[pg_sys::TEXTOID],
    );
    let argument = datum(name);
    match with_catalog_path(|| connected(|| query.text(&[argument]))) {
        Some(_) => Ok(()),
        None => Err(HostError::NoSuchSchema {
            schema: name.to_owned(),
        }
        .into()),
    }
}

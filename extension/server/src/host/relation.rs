//! One table as the catalogs describe it.

use super::column::Column;
use crate::error::{HostError, Result, ServerError};
use crate::{Statement, connected, datum, with_catalog_path};
use pgrx::pg_sys::{self, Oid};
use pgrx::spi::quote_qualified_identifier;
use serde::Deserialize;
use std::cell::RefCell;
use std::collections::HashMap;
use std::mem::ManuallyDrop;

/// A table, with what the triggers and the checks of a definition need to know of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Relation {
    pub oid: u32,
    pub owner: u32,
    schema: String,
    name: String,
    kind: String,
    persistence: String,
    is_of_extension: bool,
    /// A BEFORE trigger can change columns that an update does not name.
    pub rewrites_updates: bool,
    /// Rows are stored by PostgreSQL's own table access method, whose tuple headers tell whether a row was changed again.
    pub is_heap: bool,
    /// The table itself, then the partitioned tables it is a part of.
    pub ancestors: Vec<u32>,
    /// Every table below it, if it is partitioned.
    pub partitions: Vec<Part>,
    has_inheritance_children: bool,
    columns: Vec<Column>,
    primary_key: Vec<String>,
    /// Columns that some valid, complete btree index starts with.
    indexed: Vec<String>,
    /// Single-column foreign keys that hold at the end of every statement.
    foreign_keys: Vec<ForeignKey>,
    /// Names of the triggers of this table, other than PostgreSQL's own.
    triggers: Vec<InstalledTrigger>,
}

/// A table below a partitioned one.
#[derive(Clone, Debug, Deserialize)]
pub struct Part {
    pub oid: u32,
    pub owner: u32,
    /// The qualified name, quoted where it must be.
    pub name: String,
    pub is_partitioned: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct ForeignKey {
    column: String,
    target: u32,
    target_column: String,
    /// It does nothing when a target row is deleted but look, at the end of the statement, whether the key is there again.
    waits_on_delete: bool,
    /// When a target's key changes, rows here follow it, or it may not change.
    follows_update: bool,
}

/// What a foreign key from source to target makes sure of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference {
    /// No source row ever comes before its target row.
    pub exists: bool,
    /// No target row is ever inserted under a key that source rows have already.
    pub excludes_arrival: bool,
    /// A target row that changes its key takes its source rows along.
    pub excludes_shift: bool,
}

/// A trigger as far as its name, state and function tell.
#[derive(Clone, Debug, Deserialize)]
pub struct InstalledTrigger {
    pub name: String,
    pub enabled: bool,
    /// The name of its function, if that is one of ours.
    pub function: Option<String>,
    /// It is enabled and fires before each row of an update.
    rewrites_updates: bool,
}

const DESCRIBE: &str = "
select jsonb_build_object(
  'oid', c.oid::bigint, 'owner', c.relowner::bigint, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind::text,
  'persistence', c.relpersistence::text,
  'is_of_extension', exists (
    select from pg_depend d
     where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.objsubid = 0 and d.deptype = 'e'),
  'rewrites_updates', exists (
    select from pg_trigger g
     where g.tgrelid = any (parts.oids) and not g.tgisinternal and g.tgenabled <> 'D' and g.tgtype & 19 = 19),
  'is_heap', coalesce((select m.amname = 'heap' from pg_am m where m.oid = c.relam), false),
  'ancestors', (select coalesce(jsonb_agg(a.relid::oid::bigint), jsonb_build_array(c.oid::bigint))
                  from pg_partition_ancestors(c.oid) a),
  'partitions', (select coalesce(jsonb_agg(jsonb_build_object('oid', p.oid::bigint, 'owner', p.relowner::bigint,
      'name', format('%I.%I', pn.nspname, p.relname), 'is_partitioned', p.relkind = 'p') order by p.oid), '[]')
    from pg_class p join pg_namespace pn on pn.oid = p.relnamespace where p.oid = any (parts.oids)),
  'has_inheritance_children', c.relkind = 'r' and exists (select from pg_inherits h where h.inhparent = c.oid),
  'columns', (select coalesce(jsonb_agg(jsonb_build_object(
      'number', a.attnum, 'name', a.attname, 'type_oid', a.atttypid::bigint, 'collation', a.attcollation::bigint,
      'by_value', t.typbyval, 'length', t.typlen,
      'type_name', format_type(t.oid, -1), 'category', t.typcategory::text, 'is_enum', t.typtype = 'e',
      'is_generated', a.attgenerated <> '')), '[]')
    from pg_attribute a join pg_type t on t.oid = a.atttypid
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
  'primary_key', (select coalesce(jsonb_agg(a.attname order by k.place), '[]')
    from pg_index i cross join lateral unnest(i.indkey::smallint[]) with ordinality k(attnum, place)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indrelid = c.oid and i.indisprimary and k.place <= i.indnkeyatts),
  'indexed', (select coalesce(jsonb_agg(distinct a.attname), '[]')
    from pg_index i join pg_class ic on ic.oid = i.indexrelid join pg_am m on m.oid = ic.relam
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = c.oid and i.indisvalid and i.indpred is null and m.amname = 'btree'),
  'foreign_keys', (select coalesce(jsonb_agg(jsonb_build_object(
      'column', a.attname, 'target', f.confrelid::bigint, 'target_column', ta.attname,
      'waits_on_delete', f.confdeltype = 'a', 'follows_update', f.confupdtype in ('r', 'c'))), '[]')
    from pg_constraint f
    join pg_attribute a on a.attrelid = f.conrelid and a.attnum = f.conkey[1]
    join pg_attribute ta on ta.attrelid = f.confrelid and ta.attnum = f.confkey[1]
    where f.conrelid = c.oid and f.contype = 'f' and f.convalidated and not f.condeferrable
      and cardinality(f.conkey) = 1),
  'triggers', (select coalesce(jsonb_agg(jsonb_build_object('name', g.tgname, 'enabled', g.tgenabled <> 'D', 'function', o.proname,
      'rewrites_updates', g.tgenabled <> 'D' and g.tgtype & 19 = 19)
    order by g.tgname), '[]')
    from pg_trigger g left join (pg_proc o join pg_namespace os on os.oid = o.pronamespace and os.nspname = 'lockstep_internal') on o.oid = g.tgfoid
    where g.tgrelid = c.oid and not g.tgisinternal))::text
from pg_class c join pg_namespace n on n.oid = c.relnamespace
cross join lateral (
  -- Not pg_partition_tree, which locks them; a partition that is being detached concurrently is none any more.
  with recursive below (oid) as (
    select h.inhrelid from pg_inherits h where h.inhparent = c.oid and c.relkind = 'p' and not coalesce((to_jsonb(h)->>'inhdetachpending')::boolean, false)
    union all
    select h.inhrelid from below b join pg_inherits h on h.inhparent = b.oid and not coalesce((to_jsonb(h)->>'inhdetachpending')::boolean, false)
  ) select coalesce(array_agg(b.oid), '{}') from below b
) as parts (oids)
where c.oid = $1";

thread_local! {
    /// What [`reading_once`] has read.
    static READ: RefCell<Option<HashMap<u32, Relation>>> = const { RefCell::new(None) };
}

/// Reads each table once in all of `work`, and again after a change: where a thousand foreign keys refer to a table, that takes
/// milliseconds each time, while writers wait.
pub fn reading_once<R>(work: impl FnOnce() -> R) -> R {
    /// Also when `work` fails: the error unwinds through here.
    struct Scope;
    impl Drop for Scope {
        fn drop(&mut self) {
            READ.set(None);
        }
    }
    READ.set(Some(HashMap::new()));
    let _scope = Scope;
    work()
}

/// A table was changed or locked, so that all may be another now.
pub(super) fn read_again() {
    READ.with_borrow_mut(|read| {
        if let Some(read) = read {
            read.clear();
        }
    });
}

impl Relation {
    /// Reads the table's description as of now, whatever snapshot the transaction has.
    pub fn describe(oid: u32) -> Result<Self> {
        thread_local! {
            // Kept, as it takes longer to plan than to run; never dropped, see `Keeper`.
            static QUERY: ManuallyDrop<Statement> =
                ManuallyDrop::new(Statement::new(DESCRIBE, &[pg_sys::OIDOID]));
        }
        let known = READ.with_borrow(|read| read.as_ref()?.get(&oid).cloned());
        if let Some(known) = known {
            return Ok(known);
        }
        let argument = datum(Oid::from(oid));
        let text = QUERY
            .with(|query| with_catalog_path(|| connected(|| query.text(&[argument]))))
            .ok_or(HostError::NoSuchTable { oid })?;
        let mut relation: Self = serde_json::from_str(&text).map_err(ServerError::catalog)?;
        relation.rewrites_updates |= relation.triggers.iter().any(|it| it.rewrites_updates);
        READ.with_borrow_mut(|read| {
            if let Some(read) = read {
                read.insert(oid, relation.clone());
            }
        });
        Ok(relation)
    }

    /// The table of that name in a schema; a view of the name is none.
    pub fn find_table(schema: &str, name: &str) -> Result<Option<Self>> {
        let query = Statement::new(
            "select c.oid::bigint::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
              where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')",
            &[pg_sys::TEXTOID, pg_sys::TEXTOID],
        );
        let arguments = [schema, name].map(datum);
        let oid = with_catalog_path(|| connected(|| query.text(&arguments)));
        oid.and_then(|text| text.parse().ok())
            .map(Self::describe)
            .transpose()
    }

    /// The qualified name, quoted where it must be: fit for SQL text and for messages.
    pub fn qualified_name(&self) -> String {
        quote_qualified_identifier(&self.schema, &self.name)
    }

    /// Its schema and its name, unquoted.
    pub fn names(&self) -> [String; 2] {
        [self.schema.clone(), self.name.clone()]
    }

    /// Its name alone, unquoted.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of its schema, unquoted.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    pub fn is_partitioned(&self) -> bool {
        self.kind == "p"
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

    /// A permanent table, whole: no view, no partition of another, no parent of tables whose rows its triggers miss.
    pub fn check_is_permanent_table(&self) -> Result<()> {
        let table = self.qualified_name();
        if self.oid < pg_sys::FirstNormalObjectId {
            Err(HostError::SystemTable { table }.into())
        } else if self.is_of_extension {
            Err(HostError::ExtensionTable { table }.into())
        } else if !matches!(self.kind.as_str(), "r" | "p") || self.ancestors.len() > 1 {
            Err(HostError::NotATable { table }.into())
        } else if self.persistence == "t" {
            Err(HostError::TemporaryTable { table }.into())
        } else if self.has_inheritance_children {
            Err(HostError::InheritanceParent { table }.into())
        } else {
            Ok(())
        }
    }

    pub fn is_unlogged(&self) -> bool {
        self.persistence == "u"
    }

    /// The columns of the primary key, in its order.
    pub fn primary_key(&self) -> Result<&[String]> {
        match self.primary_key.as_slice() {
            [] => Err(HostError::NoPrimaryKey {
                table: self.qualified_name(),
            }
            .into()),
            names => Ok(names),
        }
    }

    /// The columns, in this order, are those of a unique index, and none of them is ever null.
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

    /// How many rows PostgreSQL thinks it has; as many as its pages may hold, if it was never looked at.
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

    /// The single integer column that is the primary key.
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

    /// What the foreign keys from `column` here to `target_column` there make sure of.
    pub fn reference(&self, column: &str, target: &Self, target_column: &str) -> Reference {
        let keys = self.foreign_keys.iter().filter(|key| {
            key.column == column && key.target == target.oid && key.target_column == target_column
        });
        keys.fold(Reference::default(), |reference, key| Reference {
            exists: true,
            excludes_arrival: reference.excludes_arrival || !key.waits_on_delete,
            excludes_shift: reference.excludes_shift || key.follows_update,
        })
    }

    pub fn trigger(&self, name: &str) -> Option<&InstalledTrigger> {
        self.triggers.iter().find(|trigger| trigger.name == name)
    }

    /// The trigger of that name, if it is one of ours: anybody's may be called so.
    pub fn own_trigger(&self, name: &str) -> Option<&InstalledTrigger> {
        self.trigger(name).filter(|it| it.function.is_some())
    }

    pub fn triggers(&self) -> &[InstalledTrigger] {
        &self.triggers
    }
}

/// A schema of that name exists.
pub fn check_schema(name: &str) -> Result<()> {
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

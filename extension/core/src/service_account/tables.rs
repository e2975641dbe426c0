//! The tables of a schema that lead from a workflow to its account, and the statements that read them.

use crate::error::{HostError, Result};
use lockstep_server::host::{
    self, Column, Known, Relation, check_may, check_owner_may_read, integer, integer_array, text,
};
use lockstep_server::kept;
use lockstep_server::{Answer, Rights, Statement, View, as_owner};
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::RefCell;
use std::rc::Rc;

pub(super) const WORKFLOWS: &str = "duo_workflows_workflows";
pub(super) const ACCOUNT: &str = "service_account_id";
/// The item that a workflow names itself. GitLab before 18.10 has no such column.
pub(super) const ITEM: &str = "ai_catalog_item_id";
const ITEMS: &str = "ai_catalog_items";
const VERSIONS: &str = "ai_catalog_item_versions";
const CONSUMERS: &str = "ai_catalog_item_consumers";

/// All workflow tables, in any schema.
pub(crate) fn tables_to_fill() -> Vec<u32> {
    host::tables_named(WORKFLOWS)
}

/// A statement on one table, run with the rights of its owner: as with a foreign key, a user who inserts a workflow need not be
/// able to read the tables. Callers that ask explicitly are checked.
pub(super) struct Look {
    owner: Rights,
    statement: Statement,
}

impl Look {
    /// `by` is the column to look rows up by. If an index starts with it, the plan uses that index.
    fn new(table: &Relation, by: &str, parameters: &[Oid], text: &str) -> Self {
        let statement = if table.has_index_starting_with(by) {
            Statement::by_index(text, parameters, &Rc::from([by.to_owned()]))
        } else {
            Statement::new(text, parameters)
        };
        Self {
            owner: table.rights(),
            statement,
        }
    }

    pub(super) fn rows(&self, view: View, arguments: &[Datum], read: impl FnMut(&Answer)) {
        as_owner(&self.owner, || self.statement.rows(view, arguments, read));
    }

    /// Runs a writing statement as the table's owner; returns how many rows it wrote.
    pub(super) fn write(&self, arguments: &[Datum]) -> usize {
        let written = as_owner(&self.owner, || {
            self.statement.run_seeing(View::Own, arguments)
        });
        written as usize
    }
}

/// The tables of one schema. The statements' names say what they look up; all return bigints, except for definitions.
pub(super) struct Tables {
    pub(super) workflows: Relation,
    /// The tables that are read to find the account.
    pub(super) read: [Relation; 5],
    /// `$1` versions: version, item.
    pub(super) items_of_versions: Look,
    /// `$1` definitions: definition, item.
    pub(super) items_of_definitions: Look,
    /// `$1` projects: project, namespace.
    pub(super) namespaces_of_projects: Look,
    /// `$1` namespaces: namespace, root group.
    pub(super) roots_of_namespaces: Look,
    /// `$1` root group, `$2` item: root group, item, consumer, account.
    pub(super) consumers_of_one: Look,
    /// `$1` root groups, `$2` items, in pairs: root group, item, consumer, account. The application's index is on the group alone, so
    /// it reads a group's consumers once per item, and returns one.
    pub(super) consumers_of_pairs: Look,
    /// `$1` root groups: root group, item, consumer, account. It reads a group's consumers once, and returns all.
    pub(super) consumers_of_many: Look,
    /// `$1` id: the workflow, its version, item, definition, project, namespace, account, and the row's writer.
    pub(super) workflow: Look,
    /// `$1` first id, `$2` last id, `$3` limit: rows without an account, as above.
    pub(super) unfilled: Look,
    /// `$1` ids: those still without an account, locked.
    pub(super) still_unfilled: Look,
    /// `$1` ids, `$2` accounts, `$3` row versions.
    pub(super) set_accounts: Look,
}

impl Tables {
    /// The tables of a schema, cached by the backend until one of them changes.
    pub(super) fn of_schema(schema: &str) -> Result<Rc<Self>> {
        KNOWN.with(|known| {
            Known::get_or_learn(known, schema.to_owned(), || Self::find(schema).map(Rc::new))
        })
    }

    /// The caller may read everything that a workflow's account depends on.
    pub(super) fn check_caller_may_read(&self) -> Result<()> {
        let mut tables = vec![&self.workflows];
        tables.extend(&self.read);
        check_may(&tables, &["select"])
    }

    fn find(schema: &str) -> Result<Self> {
        host::check_schema(schema)?;
        let workflows = table(schema, WORKFLOWS)?;
        let read = [
            table(schema, ITEMS)?,
            table(schema, VERSIONS)?,
            table(schema, "projects")?,
            table(schema, "namespaces")?,
            table(schema, CONSUMERS)?,
        ];
        for table in std::iter::once(&workflows).chain(&read) {
            host::watch(Oid::from(table.oid));
        }
        for table in &read {
            check_owner_may_read(&workflows, table)?;
        }
        let [items, versions, projects, namespaces, consumers] = &read;
        let account = integer(&workflows, ACCOUNT)?.quoted();
        let id = workflows.integer_primary_key()?;
        let columns = {
            let version = integer(&workflows, "ai_catalog_item_version_id")?.quoted();
            let definition = text(&workflows, "workflow_definition")?.quoted();
            let project = integer(&workflows, "project_id")?.quoted();
            let namespace = integer(&workflows, "namespace_id")?.quoted();
            let item = match workflows.find_column(ITEM) {
                Some(_) => format!("w.{}", integer(&workflows, ITEM)?.quoted()),
                None => "null".to_owned(),
            };
            format!(
                "w.{id}::pg_catalog.int8, w.{version}::pg_catalog.int8, {item}::pg_catalog.int8, w.{definition}::pg_catalog.text,
                 w.{project}::pg_catalog.int8, w.{namespace}::pg_catalog.int8, w.{account}::pg_catalog.int8, w.xmin",
                id = id.quoted()
            )
        };
        let w = workflows.qualified_name();
        let key = format!("w.{}", id.quoted());
        let on_workflows =
            |parameters: &[Oid], text: &str| Look::new(&workflows, &id.name, parameters, text);
        let group = integer(consumers, "group_id")?;
        let item = format!("c.{}", integer(consumers, ITEM)?.quoted());
        let of_group = format!("c.{}", group.quoted());
        let consumers_of = |parameters: &[Oid], rest: &str| -> Result<Look> {
            let text = format!(
                "select {of_group}::pg_catalog.int8, {item}::pg_catalog.int8, c.{}::pg_catalog.int8, c.{}::pg_catalog.int8
                   from {} c {rest}",
                integer(consumers, "id")?.quoted(),
                integer(consumers, ACCOUNT)?.quoted(),
                consumers.qualified_name(),
            );
            Ok(Look::new(consumers, &group.name, parameters, &text))
        };
        let root = integer_array(namespaces, "traversal_ids")?.quoted();
        let many = pg_sys::INT8ARRAYOID;
        Ok(Self {
            items_of_versions: by_key(
                versions,
                integer(versions, "id")?,
                &integer(versions, ITEM)?.quoted(),
            ),
            items_of_definitions: {
                let reference = text(items, "foundational_flow_reference")?;
                let text = format!(
                    "select i.{0}::pg_catalog.text, i.{1}::pg_catalog.int8 from {2} i
                      where i.{0} operator(pg_catalog.=) any ($1)",
                    reference.quoted(),
                    integer(items, "id")?.quoted(),
                    items.qualified_name(),
                );
                Look::new(items, &reference.name, &[pg_sys::TEXTARRAYOID], &text)
            },
            namespaces_of_projects: by_key(
                projects,
                integer(projects, "id")?,
                &integer(projects, "namespace_id")?.quoted(),
            ),
            roots_of_namespaces: by_key(
                namespaces,
                integer(namespaces, "id")?,
                &format!("{root}[1]"),
            ),
            consumers_of_one: consumers_of(
                &[pg_sys::INT8OID, pg_sys::INT8OID],
                &format!("where {of_group} operator(pg_catalog.=) $1 and {item} operator(pg_catalog.=) $2"),
            )?,
            consumers_of_pairs: consumers_of(
                &[many, many],
                &format!(
                    "join rows from (pg_catalog.unnest($1), pg_catalog.unnest($2)) as u (group_id, item_id)
                       on {of_group} operator(pg_catalog.=) u.group_id and {item} operator(pg_catalog.=) u.item_id"
                ),
            )?,
            consumers_of_many: consumers_of(
                &[many],
                &format!("where {of_group} operator(pg_catalog.=) any ($1)"),
            )?,
            workflow: on_workflows(
                &[pg_sys::INT8OID],
                &format!("select {columns} from {w} w where {key} operator(pg_catalog.=) $1"),
            ),
            unfilled: on_workflows(
                &[pg_sys::INT8OID, pg_sys::INT8OID, pg_sys::INT8OID],
                &format!(
                    "select {columns} from {w} w
                      where {key} operator(pg_catalog.>=) $1 and {key} operator(pg_catalog.<=) $2 and w.{account} is null
                      order by {key} limit $3"
                ),
            ),
            still_unfilled: on_workflows(
                &[many],
                &format!(
                    "select {columns} from {w} w where {key} operator(pg_catalog.=) any ($1) and w.{account} is null
                      order by {key} for no key update"
                ),
            ),
            // A row written since it was read is another version whose content is unknown, so it is skipped here.
            set_accounts: on_workflows(
                &[many, many, pg_sys::INT4ARRAYOID],
                &format!(
                    "update {w} w set {account} = u.account
                       from rows from (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3))
                            as u (id, account, version)
                      where {key} operator(pg_catalog.=) u.id and w.{account} is null
                        and w.xmin operator(pg_catalog.=) u.version"
                ),
            ),
            workflows: workflows.clone(),
            read: read.clone(),
        })
    }
}

/// Rows of a table by key: the key and another column.
fn by_key(table: &Relation, key: &Column, value: &str) -> Look {
    let text = format!(
        "select t.{key}::pg_catalog.int8, t.{value}::pg_catalog.int8 from {} t
          where t.{key} operator(pg_catalog.=) any ($1)",
        table.qualified_name(),
        key = key.quoted(),
    );
    Look::new(table, &key.name, &[pg_sys::INT8ARRAYOID], &text)
}

fn table(schema: &str, name: &'static str) -> Result<Relation> {
    Relation::find_table(schema, name)?.ok_or_else(|| {
        HostError::HostTableMissing {
            schema: schema.to_owned(),
            name,
        }
        .into()
    })
}

kept! {
    static KNOWN: RefCell<Known<String, Rc<Tables>>> = RefCell::new(Known::new());
}

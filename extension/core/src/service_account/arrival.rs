//! New workflows: fills in the account before the row is stored, unless it has one.

use super::resolver::{Resolver, Workflow};
use super::tables::{ACCOUNT, ITEM, Tables};
use crate::error::{OrRaise, Result, ServerError, ServiceAccountError};
use lockstep_server::host::{self, Column, IntegerWidth, Known, Relation, integer, text};
use lockstep_server::kept;
use lockstep_server::{Moment, View, connected};
use pgrx::datum::TryFromDatumError;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use std::cell::{Cell, RefCell};
use std::num::NonZeroUsize;
use std::rc::Rc;

/// BEFORE INSERT of a workflow without an account. A workflow that cannot be resolved is stored unchanged.
#[pg_trigger(sql = "
create function lockstep_internal.set_service_account() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.set_service_account() is 'row trigger of duo_workflows_workflows: fills service_account_id';")]
fn set_service_account<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByRust>>, TryFromDatumError> {
    let place = place(trigger).or_raise();
    let Some(row) = trigger.new() else {
        return Ok(None);
    };
    let mut row = row.into_owned();
    // The trigger that attach creates has this as its WHEN clause; another trigger may not.
    if row.get_by_index::<i64>(place.account)?.is_some() {
        return Ok(Some(row));
    }
    let workflow = Workflow {
        version: row.get_by_index(place.version)?,
        item: match place.item {
            Some(item) => row.get_by_index(item)?,
            None => None,
        },
        definition: row.get_by_index(place.definition)?,
        project: row.get_by_index(place.project)?,
        namespace: row.get_by_index(place.namespace)?,
    };
    let Some(account) = resolve(&place.tables, workflow) else {
        return Ok(Some(row));
    };
    let too_large = |_| {
        ServiceAccountError::AccountOutOfRange {
            table: place.tables.workflows.qualified_name(),
            account,
        }
        .into()
    };
    match place.width {
        IntegerWidth::Two => row.set_by_index(
            place.account,
            i16::try_from(account).map_err(too_large).or_raise(),
        )?,
        IntegerWidth::Four => row.set_by_index(
            place.account,
            i32::try_from(account).map_err(too_large).or_raise(),
        )?,
        IntegerWidth::Eight => row.set_by_index(place.account, account)?,
    }
    Ok(Some(row))
}

/// Lookups shared by the rows of a statement. They are kept beyond it only while nothing can have changed.
struct Kept {
    moment: Moment,
    generation: u64,
    workflows: u32,
    resolver: Resolver,
}

thread_local! {
    static KEPT: Cell<Option<Kept>> = const { Cell::new(None) };
}

/// Maximum number of cached keys, so that a long COPY does not fill the memory.
const MOST: usize = 100_000;

fn resolve(tables: &Tables, workflow: Workflow) -> Option<i64> {
    let moment = Moment::of_caller();
    let generation = host::generation();
    let workflows = tables.workflows.oid;
    // Taken out while in use, so that nothing that runs in between finds it half done.
    let kept = KEPT.take().filter(|kept| {
        moment == Some(kept.moment)
            && generation == kept.generation
            && workflows == kept.workflows
            && kept.resolver.len() < MOST
    });
    let mut resolver = kept.map_or_else(Resolver::default, |kept| kept.resolver);
    let workflow = [workflow];
    connected(|| resolver.look_up(tables, View::Caller, &workflow));
    let [workflow] = &workflow;
    let account = resolver.outcome(workflow).account();
    KEPT.set(moment.map(|moment| Kept {
        moment,
        generation,
        workflows,
        resolver,
    }));
    account
}

/// The column numbers in the table that the trigger fired on, which may be a partition.
#[derive(Clone)]
struct Place {
    tables: Rc<Tables>,
    version: NonZeroUsize,
    item: Option<NonZeroUsize>,
    definition: NonZeroUsize,
    project: NonZeroUsize,
    namespace: NonZeroUsize,
    account: NonZeroUsize,
    width: IntegerWidth,
}

kept! {
    static PLACES: RefCell<Known<Oid, Rc<Place>>> = RefCell::new(Known::new());
}

fn place(trigger: &PgTrigger) -> Result<Rc<Place>> {
    let oid = trigger.trigger().tgoid;
    PLACES.with(|known| Known::get_or_learn(known, oid, || learn_place(trigger).map(Rc::new)))
}

#[cold]
fn learn_place(trigger: &PgTrigger) -> Result<Place> {
    let oid = trigger.relid().map_err(ServerError::catalog)?;
    host::watch(oid);
    let table = Relation::describe(oid.to_u32())?;
    // The tables are those in the schema of the whole table, wherever its partitions are.
    let whole = table.ancestors.last().copied().unwrap_or(table.oid);
    let schema = match whole == table.oid {
        true => table.schema().to_owned(),
        false => Relation::describe(whole)?.schema().to_owned(),
    };
    let tables = Tables::of_schema(&schema)?;
    let event = trigger.event();
    let is_ours = event.fired_for_row()
        && event.fired_before()
        && event.fired_by_insert()
        && tables.workflows.oid == whole;
    if !is_ours {
        return Err(ServiceAccountError::NotAWorkflowTrigger {
            trigger: trigger.name().unwrap_or_default().to_owned(),
            table: table.qualified_name(),
        }
        .into());
    }
    let account = integer(&table, ACCOUNT)?;
    let item = table.find_column(ITEM).map(|_| integer(&table, ITEM));
    Ok(Place {
        item: item.transpose()?.map(Column::place),
        version: integer(&table, "ai_catalog_item_version_id")?.place(),
        definition: text(&table, "workflow_definition")?.place(),
        project: integer(&table, "project_id")?.place(),
        namespace: integer(&table, "namespace_id")?.place(),
        account: account.place(),
        width: account.integer_width().unwrap_or(IntegerWidth::Eight),
        tables,
    })
}

//! Plans that use the key's index, whatever the statistics say.
//!
//! A flush statement is planned once and then run for any number of keys, often in the same transaction that fills the source,
//! while the planner still believes that table is empty. It then reads the whole index for each key, because one page costs as
//! much as another. Measured: 90 s instead of 0.2 s for 10,000 keys. So these statements are planned as if the tables were large,
//! with the indexes on their keys only, and without the methods that pay off only for one large read. Nor do the values
//! that ANALYZE found count: in a table of one row each of them looks as if all rows had it, so that a key of several columns seems no better
//! than its first. Measured: 207 s instead of 0.5 s for deliveries to 50,000 new channels.

#![allow(unsafe_code)]

use pgrx::pg_sys::{self, Oid};
use std::cell::{Cell, RefCell};
use std::ffi::CStr;
use std::rc::Rc;

const SETTINGS: [(&CStr, &CStr); 13] = [
    (c"enable_seqscan", c"off"),
    (c"enable_bitmapscan", c"off"),
    (c"enable_hashjoin", c"off"),
    (c"enable_mergejoin", c"off"),
    (c"enable_material", c"off"),
    (c"enable_indexscan", c"on"),
    (c"enable_nestloop", c"on"),
    (c"jit", c"off"),
    // Other values could make a disabled method look cheaper anyway.
    (c"seq_page_cost", c"1"),
    (c"random_page_cost", c"4"),
    (c"cpu_tuple_cost", c"0.01"),
    (c"cpu_index_tuple_cost", c"0.005"),
    (c"cpu_operator_cost", c"0.0025"),
];

/// The minimum size that tables are planned for.
const TUPLES: f64 = 1e7;
const PAGES: u32 = 100_000;

thread_local! {
    /// While a plan by index is made: the columns whose indexes it may use.
    static KEY_COLUMNS: RefCell<Option<Rc<[String]>>> = const { RefCell::new(None) };
    static NEXT_HOOK: RefCell<pg_sys::get_relation_info_hook_type> = const { RefCell::new(None) };
    static NEXT_STATS_HOOK: RefCell<pg_sys::get_relation_stats_hook_type> = const { RefCell::new(None) };
}

/// Makes the generic plan of a kept statement if it is missing, invalid, or not the one `made` here: PostgreSQL makes one by
/// itself when it notices a change only as the statement begins. Plans made while the statement runs, for example for the
/// application's triggers, are not affected.
pub(crate) fn plan_by_index(
    plan: pg_sys::SPIPlanPtr,
    key_columns: &Rc<[String]>,
    made: &Cell<i32>,
) {
    let Some(source) = source_of(plan) else {
        return;
    };
    // SAFETY: the source is valid as long as the plan; without a resource owner the check only reads. A generic plan marked
    // invalid is planned again, as after a table change.
    unsafe {
        let follows_row_security =
            !(*source).dependsOnRLS || (*source).rewriteRowSecurity == pg_sys::row_security;
        let generic = (*source).gplan;
        if follows_row_security
            && pg_sys::CachedPlanIsSimplyValid(source, generic, std::ptr::null_mut())
        {
            if (*generic).generation == made.get() {
                return;
            }
            (*generic).is_valid = false;
        }
    }
    let level = set_for_now(&SETTINGS);
    let planning = Planning::begin(key_columns);
    // SAFETY: the plan is valid and holds one statement; the returned reference is released by the resource owner that took it.
    unsafe {
        let cached = pg_sys::SPI_plan_get_cached_plan(plan);
        if !cached.is_null() {
            made.set((*cached).generation);
            #[cfg(feature = "pg13")]
            pg_sys::ReleaseCachedPlan(cached, true);
            #[cfg(not(feature = "pg13"))]
            pg_sys::ReleaseCachedPlan(cached, pg_sys::CurrentResourceOwner);
        }
    }
    drop(planning);
    end_settings(level);
}

/// The plan source of a kept statement; None if the text holds several statements.
pub(crate) fn source_of(plan: pg_sys::SPIPlanPtr) -> Option<*mut pg_sys::CachedPlanSource> {
    // SAFETY: the plan is valid, so its list of sources is too.
    unsafe {
        let sources = pg_sys::SPI_plan_get_plan_sources(plan);
        if sources.is_null() || (*sources).length != 1 {
            return None;
        }
        Some((*(*sources).elements).ptr_value.cast())
    }
}

struct Planning;

impl Planning {
    fn begin(key_columns: &Rc<[String]>) -> Self {
        KEY_COLUMNS.set(Some(Rc::clone(key_columns)));
        Self
    }
}

/// Also runs when planning fails: the error unwinds through here.
impl Drop for Planning {
    fn drop(&mut self) {
        KEY_COLUMNS.set(None);
    }
}

/// Sets configuration parameters until [`end_settings`] is called with the returned level, or the transaction aborts.
pub(crate) fn set_for_now(settings: &[(&CStr, &CStr)]) -> i32 {
    // SAFETY: starts a level, which `end_settings` or an abort ends.
    let level = unsafe { pg_sys::NewGUCNestLevel() };
    set(settings);
    level
}

/// Sets configuration parameters until the end of the innermost level.
pub(crate) fn set(settings: &[(&CStr, &CStr)]) {
    // SAFETY: names and values are NUL-terminated and outlive the calls; GUC_ACTION_SAVE ties them to the level.
    unsafe {
        for (name, value) in settings.iter().filter(|(name, value)| !is_set(name, value)) {
            pg_sys::set_config_option(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            );
        }
    }
}

/// Whether one of those that are set with each statement has that value already: to set it again takes longer than many a statement.
fn is_set(name: &CStr, value: &CStr) -> bool {
    // SAFETY: reads settings; the path is a string at all times.
    unsafe {
        match name.to_bytes() {
            b"search_path" => CStr::from_ptr(pg_sys::namespace_search_path) == value,
            b"jit" => value == c"off" && !pg_sys::jit_enabled,
            _ => false,
        }
    }
}

/// Restores the parameters set at this level.
pub(crate) fn end_settings(level: i32) {
    // SAFETY: the level was started by `set_for_now` and is the innermost one.
    unsafe { pg_sys::AtEOXact_GUC(true, level) };
}

/// Registers the planner hooks, once per backend.
pub(crate) fn init() {
    // SAFETY: hooks are set while the library loads, when nothing is being planned; the previous hook is still called.
    unsafe {
        NEXT_HOOK.set(pg_sys::get_relation_info_hook);
        pg_sys::get_relation_info_hook = Some(at_relation_info);
        NEXT_STATS_HOOK.set(pg_sys::get_relation_stats_hook);
        pg_sys::get_relation_stats_hook = Some(at_relation_stats);
    }
}

// Calling a hook through its pointer is a call into C: the guard turns a PostgreSQL error into a Rust unwind.
#[allow(ffi_unwind_calls)]
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_relation_info(
    root: *mut pg_sys::PlannerInfo,
    table: Oid,
    is_parent: bool,
    info: *mut pg_sys::RelOptInfo,
) {
    if let Some(next) = NEXT_HOOK.with_borrow(|next| *next) {
        // SAFETY: called with PostgreSQL's own arguments.
        unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| next(root, table, is_parent, info)) };
    }
    let key_columns = KEY_COLUMNS.with_borrow(Option::clone);
    if let Some(key_columns) = key_columns {
        // SAFETY: PostgreSQL has filled in the table's description, and hooks may change it.
        unsafe { describe_as_large(table, &mut *info, &key_columns) };
    }
}

/// Returns true where PostgreSQL is not to look up what ANALYZE found: without it, every value is one of many.
#[allow(ffi_unwind_calls)]
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_relation_stats(
    root: *mut pg_sys::PlannerInfo,
    table: *mut pg_sys::RangeTblEntry,
    column: pg_sys::AttrNumber,
    found: *mut pg_sys::VariableStatData,
) -> bool {
    if KEY_COLUMNS.with_borrow(Option::is_some) {
        return true;
    }
    match NEXT_STATS_HOOK.with_borrow(|next| *next) {
        // SAFETY: called with PostgreSQL's own arguments.
        Some(next) => unsafe {
            pg_sys::ffi::pg_guard_ffi_boundary(|| next(root, table, column, found))
        },
        None => false,
    }
}

/// # Safety
///
/// `info` is the planner's description of `table`.
unsafe fn describe_as_large(table: Oid, info: &mut pg_sys::RelOptInfo, key_columns: &[String]) {
    info.tuples = info.tuples.max(TUPLES);
    info.pages = info.pages.max(PAGES);
    // SAFETY: the list holds index descriptions made by the planner, and is replaced by one of the same kind.
    unsafe {
        let mut kept: *mut pg_sys::List = std::ptr::null_mut();
        let count = if info.indexlist.is_null() {
            0
        } else {
            (*info.indexlist).length
        };
        for place in 0..count {
            let index = (*(*info.indexlist).elements.add(place as usize))
                .ptr_value
                .cast::<pg_sys::IndexOptInfo>();
            if starts_with_key(table, &*index, key_columns) {
                (*index).tuples = (*index).tuples.max(TUPLES);
                (*index).pages = (*index).pages.max(PAGES / 4);
                (*index).tree_height = (*index).tree_height.max(2);
                kept = pg_sys::lappend(kept, index.cast());
            }
        }
        if !kept.is_null() {
            info.indexlist = kept;
        }
    }
}

/// # Safety
///
/// `index` is the planner's description of an index on `table`.
unsafe fn starts_with_key(
    table: Oid,
    index: &pg_sys::IndexOptInfo,
    key_columns: &[String],
) -> bool {
    // SAFETY: an index has at least one column; the name is a palloc'd string, or null for a dropped column.
    unsafe {
        let name = pg_sys::get_attname(table, *index.indexkeys as i16, true);
        !name.is_null()
            && key_columns
                .iter()
                .any(|column| column.as_bytes() == CStr::from_ptr(name).to_bytes())
    }
}

//! Prepared statements that live as long as the backend, and the rules by which they look at the database.
//!
//! This is the one file that calls the server programming interface (SPI) directly: the safe wrappers offer neither generic plans nor
//! the choice of a snapshot.

#![allow(unsafe_code)]

use super::answer::{Answer, first_row};
use crate::planner::{end_settings, plan_by_index, set_for_now, source_of};
use pgrx::datum::{FromDatum, IntoDatum};
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::rc::Rc;

/// An SQL statement that is prepared on first use and kept. All names in its text must be qualified, operators too:
/// it is parsed under the search path of whoever fires the trigger.
pub struct Statement {
    text: CString,
    parameters: Vec<Oid>,
    /// One for each search path under which it was run of late, the last one first: under another path PostgreSQL would parse and
    /// plan it anew each time.
    prepared: RefCell<Vec<Rc<Prepared>>>,
    /// The columns whose indexes the plan has to walk, if it must.
    key_columns: Option<Rc<[String]>>,
    planning: u32,
}

/// How many search paths a statement is kept for.
const PATHS: usize = 4;

struct Prepared {
    plan: pg_sys::SPIPlanPtr,
    /// The number of the generic plan that was made to walk indexes.
    made: Cell<i32>,
}

/// What a statement is, as far as its text tells.
pub enum Target {
    /// One update and nothing else, of this table, which the statement calls by the alias.
    Update {
        table: Oid,
        alias: String,
        /// The numbers of the columns that it writes.
        columns: Vec<usize>,
        /// Whether it writes only rows of which the first parameter is true: that is a condition of its own in the WHERE clause.
        requires_parameter: bool,
    },
    Other,
}

/// Which state of the database a statement sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// What has committed by now. In REPEATABLE READ and above, changing a row that the transaction's own snapshot
    /// does not see is a serialization failure, as in PostgreSQL's foreign-key triggers.
    Newest,
    /// The same, without taking part in writes: for reading catalogs.
    NewestReadOnly,
    /// What the statement sees that called us, so that several looks agree with each other. It cannot write.
    Caller,
    /// What a statement sees that the transaction begins now. In REPEATABLE READ and above that is its own snapshot.
    Own,
}

impl Statement {
    /// A statement whose plan PostgreSQL may choose freely.
    pub fn new(text: &str, parameters: &[Oid]) -> Self {
        Self {
            // A NUL cannot occur: every part of the text is a name or literal that PostgreSQL itself has stored.
            text: CString::new(text.replace('\0', "")).unwrap_or_default(),
            parameters: parameters.to_vec(),
            prepared: RefCell::new(Vec::new()),
            key_columns: None,
            planning: pg_sys::CURSOR_OPT_GENERIC_PLAN,
        }
    }

    /// A statement that is planned for the arguments of each run, as fits one that runs for long and is not our own.
    pub fn planned_anew(text: &str, parameters: &[Oid]) -> Self {
        let mut statement = Self::new(text, parameters);
        statement.planning = pg_sys::CURSOR_OPT_CUSTOM_PLAN;
        statement
    }

    /// A statement that must walk the indexes of these columns, for any number of keys.
    pub fn by_index(text: &str, parameters: &[Oid], key_columns: &Rc<[String]>) -> Self {
        let mut statement = Self::new(text, parameters);
        statement.key_columns = Some(Rc::clone(key_columns));
        statement
    }

    /// Runs the statement; returns the number of rows it processed. The caller holds an SPI connection ([`connected`]).
    pub fn run(&self, arguments: &[Datum]) -> u64 {
        self.run_seeing(View::Newest, arguments)
    }

    /// The same, with a choice of what it sees.
    pub fn run_seeing(&self, view: View, arguments: &[Datum]) -> u64 {
        self.run_with_nulls(view, &all(arguments))
    }

    /// The same, with arguments that may be null.
    pub fn run_with_nulls(&self, view: View, arguments: &[Option<Datum>]) -> u64 {
        self.execute(arguments, view);
        // SAFETY: both globals are set by the execution above; freeing a null table is allowed.
        unsafe {
            pg_sys::SPI_freetuptable(pg_sys::SPI_tuptable);
            pg_sys::SPI_processed
        }
    }

    /// Runs the statement; returns the first `N` columns of its first row, which must all be of type `T`.
    pub fn first_row<T: FromDatum + IntoDatum, const N: usize>(
        &self,
        arguments: &[Datum],
    ) -> Option<[Option<T>; N]> {
        self.execute(&all(arguments), View::Newest);
        first_row()
    }

    /// Runs a query; hands each row of its answer to `read`.
    pub fn rows(&self, view: View, arguments: &[Datum], read: impl FnMut(&Answer)) {
        self.rows_with_nulls(view, &all(arguments), read);
    }

    /// The same, with arguments that may be null.
    pub fn rows_with_nulls(
        &self,
        view: View,
        arguments: &[Option<Datum>],
        mut read: impl FnMut(&Answer),
    ) {
        self.execute(arguments, view);
        // SAFETY: SPI_tuptable is the result of the query just run, or null, with as many rows as it says and room made for
        // as many columns as its descriptor has; nothing that `read` may do with a row frees it, which happens after.
        unsafe {
            let table = pg_sys::SPI_tuptable;
            if table.is_null() {
                return;
            }
            let columns = (*(*table).tupdesc).natts as usize;
            let mut answer = Answer {
                values: vec![Datum::null(); columns],
                are_null: vec![true; columns],
                types: (1..=columns as i32)
                    .map(|column| pg_sys::SPI_gettypeid((*table).tupdesc, column))
                    .collect(),
            };
            for place in 0..(*table).numvals {
                pg_sys::heap_deform_tuple(
                    *(*table).vals.add(place as usize),
                    (*table).tupdesc,
                    answer.values.as_mut_ptr(),
                    answer.are_null.as_mut_ptr(),
                );
                read(&answer);
            }
            pg_sys::SPI_freetuptable(table);
        }
    }

    /// Runs a query on the catalogs that answers with one text.
    pub fn text(&self, arguments: &[Datum]) -> Option<String> {
        self.execute(&all(arguments), View::NewestReadOnly);
        let [text] = first_row::<String, 1>()?;
        text
    }

    fn execute(&self, arguments: &[Option<Datum>], view: View) {
        assert_eq!(
            arguments.len(),
            self.parameters.len(),
            "a statement is run with the arguments it declares"
        );
        let prepared = self.prepared();
        let nulls: Vec<c_char> = arguments
            .iter()
            .map(|argument| if argument.is_none() { b'n' } else { b' ' } as c_char)
            .collect();
        let mut arguments: Vec<Datum> = arguments
            .iter()
            .map(|argument| argument.unwrap_or_else(Datum::null))
            .collect();
        // SAFETY: the plan is valid (kept until drop), the arguments and their marks have the declared number, and
        // the snapshots are those that PostgreSQL hands out for the current transaction, which SPI copies.
        unsafe {
            let frozen = pg_sys::XactIsoLevel as u32 >= pg_sys::XACT_REPEATABLE_READ;
            let (snapshot, crosscheck) = match view {
                View::Newest if frozen => (
                    pg_sys::GetLatestSnapshot(),
                    pg_sys::GetTransactionSnapshot(),
                ),
                // READ COMMITTED: SPI takes a new snapshot for each statement by itself.
                View::Newest => (ptr::null_mut(), ptr::null_mut()),
                // Read-only, SPI uses the snapshot that is active; else it takes one for the statement.
                View::Caller | View::Own => (ptr::null_mut(), ptr::null_mut()),
                View::NewestReadOnly => {
                    // So that it sees what this very command has changed; beside parallel workers none may change anything.
                    if !pg_sys::IsInParallelMode() {
                        pg_sys::CommandCounterIncrement();
                    }
                    // The one that catalogs are read by is new, and, unlike the latest, can be had beside parallel workers.
                    (pg_sys::GetCatalogSnapshot(Oid::INVALID), ptr::null_mut())
                }
            };
            let read_only = matches!(view, View::NewestReadOnly | View::Caller);
            // A session that forces plans on all statements forces them on ours.
            let is_forced =
                pg_sys::plan_cache_mode != pg_sys::PlanCacheMode::PLAN_CACHE_MODE_AUTO as i32;
            let level = is_forced.then(|| set_for_now(&[(c"plan_cache_mode", c"auto")]));
            pg_sys::SPI_execute_snapshot(
                prepared.plan,
                arguments.as_mut_ptr(),
                nulls.as_ptr(),
                snapshot,
                crosscheck,
                read_only,
                true,
                0,
            );
            if let Some(level) = level {
                end_settings(level);
            }
        }
    }

    /// Parses the statement, which raises what is wrong with it, and tells what it writes.
    pub fn target(&self) -> Target {
        let prepared = connected(|| self.prepared());
        let Some(source) = source_of(prepared.plan) else {
            return Target::Other;
        };
        // SAFETY: the plan is kept by `self`; its source holds the trees of the statement after rules were applied, with the
        // table that is written at the place in the range table that the tree names.
        unsafe {
            let queries = (*source).query_list;
            if queries.is_null() || (*queries).length != 1 {
                return Target::Other;
            }
            let query = (*(*queries).elements).ptr_value.cast::<pg_sys::Query>();
            let is_update = (*query).commandType == pg_sys::CmdType::CMD_UPDATE;
            if !is_update || (*query).hasModifyingCTE || (*query).resultRelation < 1 {
                return Target::Other;
            }
            let place = (*query).resultRelation as usize - 1;
            let entry = (*(*(*query).rtable).elements.add(place))
                .ptr_value
                .cast::<pg_sys::RangeTblEntry>();
            let alias = CStr::from_ptr((*(*entry).eref).aliasname);
            let columns = nodes::<pg_sys::TargetEntry>((*query).targetList);
            Target::Update {
                table: (*entry).relid,
                alias: alias.to_string_lossy().into_owned(),
                columns: columns
                    .filter(|column| !(**column).resjunk)
                    .map(|column| (*column).resno as usize)
                    .collect(),
                requires_parameter: requires_parameter((*(*query).jointree).quals),
            }
        }
    }

    /// Ready to run under the search path of now. Whoever runs it holds on to it: what it fires may run it under other paths.
    fn prepared(&self) -> Rc<Prepared> {
        let found = self
            .prepared
            .borrow()
            .iter()
            .position(|known| known.fits_path());
        let prepared = match found {
            Some(place) => {
                let mut prepared = self.prepared.borrow_mut();
                prepared[..=place].rotate_right(1);
                Rc::clone(&prepared[0])
            }
            None => {
                let new = Rc::new(self.prepare());
                let mut prepared = self.prepared.borrow_mut();
                prepared.truncate(PATHS - 1);
                prepared.insert(0, Rc::clone(&new));
                new
            }
        };
        if let Some(key_columns) = &self.key_columns {
            plan_by_index(prepared.plan, key_columns, &prepared.made);
        }
        prepared
    }

    fn prepare(&self) -> Prepared {
        let mut parameters = self.parameters.clone();
        // SAFETY: text and types outlive the call, which copies them; SPI_keepplan moves the plan to memory that
        // lasts until SPI_freeplan. A failure to parse is raised as an error, so the plan is not null.
        let plan = unsafe {
            let plan = pg_sys::SPI_prepare_cursor(
                self.text.as_ptr(),
                parameters.len() as i32,
                parameters.as_mut_ptr(),
                self.planning as i32,
            );
            pg_sys::SPI_keepplan(plan);
            plan
        };
        Prepared {
            plan,
            made: Cell::new(0),
        }
    }
}

impl Prepared {
    fn fits_path(&self) -> bool {
        // SAFETY: the source and its path live as long as the plan; the function compares.
        source_of(self.plan).is_none_or(|source| unsafe {
            let path = (*source).search_path;
            #[cfg(any(feature = "pg17", feature = "pg18"))]
            return path.is_null() || pg_sys::SearchPathMatchesCurrentEnvironment(path);
            #[cfg(not(any(feature = "pg17", feature = "pg18")))]
            return path.is_null() || pg_sys::OverrideSearchPathMatchesCurrent(path);
        })
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // SAFETY: the plan was kept by `prepare` and is freed nowhere else.
        unsafe { pg_sys::SPI_freeplan(self.plan) };
    }
}

/// The nodes of a list, which may be null.
///
/// # Safety
///
/// The list holds pointers to nodes of that kind, and outlives what is returned.
unsafe fn nodes<T>(list: *mut pg_sys::List) -> impl Iterator<Item = *mut T> {
    let length = if list.is_null() {
        0
    } else {
        // SAFETY: the list is not null.
        unsafe { (*list).length }
    };
    // SAFETY: a list has as many elements as it says, which hold pointers.
    (0..length as usize)
        .map(move |place| unsafe { (*(*list).elements.add(place)).ptr_value.cast() })
}

/// Whether a condition can be true only if the first parameter is: it is that, or an AND that has it.
///
/// # Safety
///
/// The node is an expression, or null.
unsafe fn requires_parameter(condition: *mut pg_sys::Node) -> bool {
    if condition.is_null() {
        return false;
    }
    // SAFETY: the tag says what kind of node it is.
    unsafe {
        match (*condition).type_ {
            pg_sys::NodeTag::T_Param => {
                let parameter = &*condition.cast::<pg_sys::Param>();
                parameter.paramkind == pg_sys::ParamKind::PARAM_EXTERN && parameter.paramid == 1
            }
            pg_sys::NodeTag::T_BoolExpr => {
                let all = &*condition.cast::<pg_sys::BoolExpr>();
                all.boolop == pg_sys::BoolExprType::AND_EXPR
                    && nodes(all.args).any(|part| requires_parameter(part))
            }
            _ => false,
        }
    }
}

/// Runs `work` with an SPI connection. An error needs no clean-up here: the abort of the (sub)transaction closes it.
pub fn connected<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: every connection opened is closed, on the way out or by the abort.
    unsafe { pg_sys::SPI_connect() };
    let result = work();
    // SAFETY: closes the connection opened above; `work` leaves the connections it opened itself closed.
    unsafe { pg_sys::SPI_finish() };
    result
}

/// Whether the function or procedure that was called may not commit: it is no procedure, or was called inside of a transaction block.
#[expect(clippy::not_unsafe_ptr_arg_deref, reason = "only PostgreSQL makes one")]
pub fn is_atomic(call: pg_sys::FunctionCallInfo) -> bool {
    // SAFETY: the context of a call is null or a node, whose tag says of which kind.
    unsafe {
        let context = (*call).context;
        context.is_null()
            || (*context).type_ != pg_sys::NodeTag::T_CallContext
            || (*context.cast::<pg_sys::CallContext>()).atomic
    }
}

/// Commits inside of a procedure that may. Until something takes a snapshot, the session holds none then.
pub fn commit() {
    // SAFETY: PostgreSQL commits and begins a transaction inside of a connection that was opened for it, which is closed here.
    unsafe {
        pg_sys::SPI_connect_ext(pg_sys::SPI_OPT_NONATOMIC as i32);
        pg_sys::SPI_commit();
        pg_sys::SPI_finish();
    }
}

/// Runs `work` with a snapshot of now, where the session holds none.
pub fn with_snapshot<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: the snapshot is taken in a transaction; an error needs no clean-up, as the abort gives it back.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
    let result = work();
    // SAFETY: the one pushed above, since `work` has popped its own.
    unsafe { pg_sys::PopActiveSnapshot() };
    result
}

fn all(arguments: &[Datum]) -> Vec<Option<Datum>> {
    arguments.iter().copied().map(Some).collect()
}

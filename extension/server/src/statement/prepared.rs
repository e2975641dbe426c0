//! Prepared statements that live as long as the backend, and the snapshots they use.
//!
//! With [`connection`](super::connection), the only file that calls the server programming interface (SPI) directly: the safe wrappers
//! offer neither generic plans nor a choice of snapshot.

#![allow(unsafe_code)]

use super::answer::{Answer, first_row};
use super::connection::connected;
use crate::planner::{end_settings, plan_by_index, set_for_now, source_of};
use crate::session::see_own_changes;
use pgrx::datum::{FromDatum, IntoDatum};
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::rc::Rc;

/// An SQL statement that is prepared on first use and kept. All names in its text must be qualified, operators too: it is parsed
/// under the search path of the user who fires the trigger.
pub struct Statement {
    text: CString,
    parameters: Vec<Oid>,
    /// One per search path that was used recently, the latest first: under another path PostgreSQL would parse and plan the
    /// statement again each time.
    prepared: RefCell<Vec<Rc<Prepared>>>,
    /// The columns whose indexes the plan has to use, if any.
    key_columns: Option<Rc<[String]>>,
    planning: u32,
}

/// How many search paths a statement is prepared for.
const PATHS: usize = 4;

struct Prepared {
    plan: pg_sys::SPIPlanPtr,
    /// The number of the generic plan that was made by index.
    made: Cell<i32>,
}

/// What a statement writes, according to its text.
pub enum Target {
    /// A single update of this table, which the statement calls by the alias.
    Update {
        table: Oid,
        alias: String,
        /// The numbers of the columns it writes.
        columns: Vec<usize>,
        /// Whether it only writes rows for which the first parameter is true, because its WHERE clause requires that.
        requires_parameter: bool,
    },
    Other,
}

/// Which state of the database a statement sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Everything committed by now. In REPEATABLE READ and above, changing a row that the transaction's own snapshot does not see
    /// is a serialization failure, as in PostgreSQL's foreign-key triggers.
    Newest,
    /// The same without writing, for reading catalogs.
    NewestReadOnly,
    /// The snapshot of the calling statement, so that several reads agree. It cannot write.
    Caller,
    /// A new snapshot as for any statement of the transaction; in REPEATABLE READ and above, the transaction's own.
    Own,
}

impl Statement {
    /// A statement that PostgreSQL plans as usual.
    pub fn new(text: &str, parameters: &[Oid]) -> Self {
        Self {
            // A NUL cannot occur: every part of the text is a name or literal that PostgreSQL has stored.
            text: CString::new(text.replace('\0', "")).unwrap_or_default(),
            parameters: parameters.to_vec(),
            prepared: RefCell::new(Vec::new()),
            key_columns: None,
            planning: pg_sys::CURSOR_OPT_GENERIC_PLAN,
        }
    }

    /// A statement that is planned for the arguments of each run, for long-running statements that are not ours.
    pub fn planned_anew(text: &str, parameters: &[Oid]) -> Self {
        let mut statement = Self::new(text, parameters);
        statement.planning = pg_sys::CURSOR_OPT_CUSTOM_PLAN;
        statement
    }

    /// A statement that must use the indexes of these columns, for any number of keys.
    pub fn by_index(text: &str, parameters: &[Oid], key_columns: &Rc<[String]>) -> Self {
        let mut statement = Self::new(text, parameters);
        statement.key_columns = Some(Rc::clone(key_columns));
        statement
    }

    /// Runs the statement and returns the number of rows it processed. The caller holds an SPI connection ([`connected`]).
    pub fn run(&self, arguments: &[Datum]) -> u64 {
        self.run_seeing(View::Newest, arguments)
    }

    /// The same, with a choice of snapshot.
    pub fn run_seeing(&self, view: View, arguments: &[Datum]) -> u64 {
        self.run_with_nulls(view, &all(arguments))
    }

    /// The same, with nullable arguments.
    pub fn run_with_nulls(&self, view: View, arguments: &[Option<Datum>]) -> u64 {
        self.execute(arguments, view);
        // SAFETY: both variables were set by the execution above; freeing a null table is allowed.
        unsafe {
            pg_sys::SPI_freetuptable(pg_sys::SPI_tuptable);
            pg_sys::SPI_processed
        }
    }

    /// Runs the statement and returns the first `N` columns of its first row, which must all be of type `T`.
    pub fn first_row<T: FromDatum + IntoDatum, const N: usize>(
        &self,
        arguments: &[Datum],
    ) -> Option<[Option<T>; N]> {
        self.execute(&all(arguments), View::Newest);
        first_row()
    }

    /// Runs a query and passes each row to `read`.
    pub fn rows(&self, view: View, arguments: &[Datum], read: impl FnMut(&Answer)) {
        self.rows_with_nulls(view, &all(arguments), read);
    }

    /// The same, with nullable arguments.
    pub fn rows_with_nulls(
        &self,
        view: View,
        arguments: &[Option<Datum>],
        mut read: impl FnMut(&Answer),
    ) {
        self.execute(arguments, view);
        // SAFETY: SPI_tuptable is the result of the last query, or null, with the stated number of rows, and there is room for
        // all columns of its descriptor. Nothing that `read` can do with a row frees it; that happens afterwards.
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

    /// Runs a catalog query that returns one text.
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
        // SAFETY: the plan is valid (kept until drop), the arguments and null flags have the declared number, and the snapshots
        // belong to the current transaction; SPI copies them.
        unsafe {
            let frozen = pg_sys::XactIsoLevel as u32 >= pg_sys::XACT_REPEATABLE_READ;
            let (snapshot, crosscheck) = match view {
                View::Newest if frozen => (
                    pg_sys::GetLatestSnapshot(),
                    pg_sys::GetTransactionSnapshot(),
                ),
                // READ COMMITTED: SPI takes a new snapshot for each statement by itself.
                View::Newest => (ptr::null_mut(), ptr::null_mut()),
                // Read-only, SPI uses the active snapshot; otherwise it takes a new one.
                View::Caller | View::Own => (ptr::null_mut(), ptr::null_mut()),
                View::NewestReadOnly => {
                    see_own_changes();
                    // The catalog snapshot is new and, unlike the latest snapshot, available in parallel mode.
                    (pg_sys::GetCatalogSnapshot(Oid::INVALID), ptr::null_mut())
                }
            };
            let read_only = matches!(view, View::NewestReadOnly | View::Caller);
            // A session that forces a plan mode for all statements forces it on ours too.
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

    /// Parses the statement, raising any error in it, and returns what it writes.
    pub fn target(&self) -> Target {
        let prepared = connected(|| self.prepared());
        let Some(source) = source_of(prepared.plan) else {
            return Target::Other;
        };
        // SAFETY: `self` keeps the plan. Its source holds the trees of the statement after rewriting; the tree names the range
        // table entry of the table that is written.
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

    /// The statement prepared under the current search path. The caller keeps the Rc: triggers may run the statement under other
    /// paths.
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
        // SAFETY: text and types outlive the call, which copies them; SPI_keepplan moves the plan to memory that lasts until
        // SPI_freeplan. A parse error is raised, so the plan is not null.
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
/// The list holds pointers to nodes of that kind, and outlives the returned iterator.
unsafe fn nodes<T>(list: *mut pg_sys::List) -> impl Iterator<Item = *mut T> {
    let length = if list.is_null() {
        0
    } else {
        // SAFETY: the list is not null.
        unsafe { (*list).length }
    };
    // SAFETY: a list has the stated number of elements, which hold pointers.
    (0..length as usize)
        .map(move |place| unsafe { (*(*list).elements.add(place)).ptr_value.cast() })
}

/// Whether a condition can only be true if the first parameter is: it is that parameter, or an AND that contains it.
///
/// # Safety
///
/// The node is an expression, or null.
unsafe fn requires_parameter(condition: *mut pg_sys::Node) -> bool {
    if condition.is_null() {
        return false;
    }
    // SAFETY: the tag says which kind of node it is.
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

fn all(arguments: &[Datum]) -> Vec<Option<Datum>> {
    arguments.iter().copied().map(Some).collect()
}

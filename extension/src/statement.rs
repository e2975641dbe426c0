//! Prepared statements that live as long as the backend, and the rules by which they look at the database.
//!
//! This is the one file that calls the server programming interface (SPI) directly: the safe wrappers offer neither
//! generic plans, nor the choice of a snapshot, nor a change of user.

#![allow(unsafe_code)]

use crate::planner::{end_settings, plan_by_index, set_for_now};
use pgrx::PgSqlErrorCode::{self, ERRCODE_ADMIN_SHUTDOWN, ERRCODE_QUERY_CANCELED};
use pgrx::datum::FromDatum;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::{AnyElement, IntoDatum, PgTryBuilder};
use std::cell::Cell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::rc::Rc;

/// An SQL statement whose plan is made on first use and kept. All names in its text must be qualified, operators too:
/// it is parsed under the search path of whoever fires the trigger.
pub(crate) struct Statement {
    text: CString,
    parameters: Vec<Oid>,
    plan: Cell<pg_sys::SPIPlanPtr>,
    /// The columns whose indexes the plan has to walk, if it must.
    key_columns: Option<Rc<[String]>>,
    planning: u32,
}

/// What a statement is, as far as its text tells.
pub(crate) enum Target {
    /// One update and nothing else, of this table, which the statement calls by the alias.
    Update {
        table: Oid,
        alias: String,
    },
    Other,
}

/// Which state of the database a statement sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
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
    pub(crate) fn new(text: &str, parameters: &[Oid]) -> Self {
        Self {
            // A NUL cannot occur: every part of the text is a name or literal that PostgreSQL itself has stored.
            text: CString::new(text.replace('\0', "")).unwrap_or_default(),
            parameters: parameters.to_vec(),
            plan: Cell::new(ptr::null_mut()),
            key_columns: None,
            planning: pg_sys::CURSOR_OPT_GENERIC_PLAN,
        }
    }

    /// A statement that is planned for the arguments of each run, as fits one that runs for long and is not our own.
    pub(crate) fn planned_anew(text: &str, parameters: &[Oid]) -> Self {
        let mut statement = Self::new(text, parameters);
        statement.planning = pg_sys::CURSOR_OPT_CUSTOM_PLAN;
        statement
    }

    /// A statement that must walk the indexes of these columns, for any number of keys.
    pub(crate) fn by_index(text: &str, parameters: &[Oid], key_columns: &Rc<[String]>) -> Self {
        let mut statement = Self::new(text, parameters);
        statement.key_columns = Some(Rc::clone(key_columns));
        statement
    }

    /// Runs the statement; returns the number of rows it processed. The caller holds an SPI connection ([`connected`]).
    pub(crate) fn run(&self, arguments: &[Datum]) -> u64 {
        self.run_seeing(View::Newest, arguments)
    }

    /// The same, with a choice of what it sees.
    pub(crate) fn run_seeing(&self, view: View, arguments: &[Datum]) -> u64 {
        self.run_with_nulls(view, &all(arguments))
    }

    /// The same, with arguments that may be null.
    pub(crate) fn run_with_nulls(&self, view: View, arguments: &[Option<Datum>]) -> u64 {
        self.execute(arguments, view);
        // SAFETY: both globals are set by the execution above; freeing a null table is allowed.
        unsafe {
            pg_sys::SPI_freetuptable(pg_sys::SPI_tuptable);
            pg_sys::SPI_processed
        }
    }

    /// Runs the statement; returns the first `N` columns of its first row, which must all be of type `T`.
    pub(crate) fn first_row<T: FromDatum, const N: usize>(
        &self,
        arguments: &[Datum],
    ) -> Option<[Option<T>; N]> {
        self.execute(&all(arguments), View::Newest);
        first_row()
    }

    /// Runs a query; hands each row of its answer to `read`.
    pub(crate) fn rows(&self, view: View, arguments: &[Datum], read: impl FnMut(&Answer)) {
        self.rows_with_nulls(view, &all(arguments), read);
    }

    /// The same, with arguments that may be null.
    pub(crate) fn rows_with_nulls(
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
    pub(crate) fn text(&self, arguments: &[Datum]) -> Option<String> {
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
        let plan = self.prepared();
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
                    // So that it sees what this very command has changed.
                    pg_sys::CommandCounterIncrement();
                    (pg_sys::GetLatestSnapshot(), ptr::null_mut())
                }
            };
            let read_only = matches!(view, View::NewestReadOnly | View::Caller);
            pg_sys::SPI_execute_snapshot(
                plan,
                arguments.as_mut_ptr(),
                nulls.as_ptr(),
                snapshot,
                crosscheck,
                read_only,
                true,
                0,
            );
        }
    }

    /// Parses the statement, which raises what is wrong with it, and tells what it writes.
    pub(crate) fn target(&self) -> Target {
        let plan = connected(|| self.prepared());
        // SAFETY: the plan is kept by `self`; its sources hold the trees of the statement after rules were applied, with the
        // table that is written at the place in the range table that the tree names.
        unsafe {
            let sources = pg_sys::SPI_plan_get_plan_sources(plan);
            if sources.is_null() || (*sources).length != 1 {
                return Target::Other;
            }
            let source = (*(*sources).elements)
                .ptr_value
                .cast::<pg_sys::CachedPlanSource>();
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
            Target::Update {
                table: (*entry).relid,
                alias: alias.to_string_lossy().into_owned(),
            }
        }
    }

    fn prepared(&self) -> pg_sys::SPIPlanPtr {
        let mut plan = self.plan.get();
        if plan.is_null() {
            let mut parameters = self.parameters.clone();
            // SAFETY: text and types outlive the call, which copies them; SPI_keepplan moves the plan to memory that
            // lasts until SPI_freeplan. A failure to parse is raised as an error, so the plan is not null.
            unsafe {
                plan = pg_sys::SPI_prepare_cursor(
                    self.text.as_ptr(),
                    parameters.len() as i32,
                    parameters.as_mut_ptr(),
                    self.planning as i32,
                );
                pg_sys::SPI_keepplan(plan);
            }
            self.plan.set(plan);
        }
        if let Some(key_columns) = &self.key_columns {
            plan_by_index(plan, key_columns);
        }
        plan
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        let plan = self.plan.get();
        if !plan.is_null() {
            // SAFETY: the plan was kept by `prepared` and is freed nowhere else.
            unsafe { pg_sys::SPI_freeplan(plan) };
        }
    }
}

/// One row of a query's answer, taken apart at once: each call into PostgreSQL sets up a guard against its errors, which for
/// one call a column would cost more than the rest.
pub(crate) struct Answer {
    values: Vec<Datum>,
    are_null: Vec<bool>,
}

impl Answer {
    /// The value of a column, which counts from one and must be of type `T`; what is not passed by value is copied.
    pub(crate) fn get<T: FromDatum>(&self, column: usize) -> Option<T> {
        // SAFETY: the value belongs to a row that lives until `Statement::rows` has had it read.
        unsafe { T::from_datum(self.values[column - 1], self.are_null[column - 1]) }
    }
}

/// Tells two states of the database apart: what is read under equal ones is the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    snapshot: [pg_sys::TransactionId; 2],
    running: u32,
    command: u32,
    transaction: pg_sys::TransactionId,
}

impl Moment {
    /// That of the statement that called us, which writes. Snapshots of the same limits and as many running transactions see
    /// the same commits, since a transaction that ends leaves the count or moves the upper limit. What the transaction itself
    /// wrote is told by its number, which PREPARE TRANSACTION takes away without moving a limit, and by the command: a statement
    /// that writes has one of its own, whether it writes anything, and no rollback to a savepoint gives it to another.
    pub(crate) fn of_caller() -> Option<Self> {
        // SAFETY: reads the active snapshot, if there is one, and counters of the transaction.
        unsafe {
            if !pg_sys::ActiveSnapshotSet() {
                return None;
            }
            let snapshot = &*pg_sys::GetActiveSnapshot();
            // On a standby a snapshot does not count the transactions that run.
            if snapshot.takenDuringRecovery {
                return None;
            }
            Some(Self {
                snapshot: [snapshot.xmin, snapshot.xmax],
                running: snapshot.xcnt,
                command: snapshot.curcid,
                transaction: pg_sys::GetTopTransactionIdIfAny(),
            })
        }
    }
}

/// Runs `work` with an SPI connection. An error needs no clean-up here: the abort of the (sub)transaction closes it.
pub(crate) fn connected<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: every connection opened is closed, on the way out or by the abort.
    unsafe { pg_sys::SPI_connect() };
    let result = work();
    // SAFETY: closes the connection opened above; `work` leaves the connections it opened itself closed.
    unsafe { pg_sys::SPI_finish() };
    result
}

/// Runs `work` with the rights of `owner`, exempt from that owner's own row security, as PostgreSQL runs the queries of
/// foreign keys. An abort restores the former user by itself.
pub(crate) fn as_owner<R>(owner: Oid, work: impl FnOnce() -> R) -> R {
    let flags = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_NOFORCE_RLS;
    as_user(owner, flags as i32, work)
}

/// Whether the current user has the rights of that role.
pub(crate) fn has_rights_of(role: Oid) -> bool {
    // SAFETY: looks up the memberships of the current user.
    unsafe { pg_sys::has_privs_of_role(pg_sys::GetUserId(), role) }
}

/// Runs `work` as the owner of the extension's tables, which callers need no rights on.
pub(crate) fn as_extension_owner<R>(owner: Oid, work: impl FnOnce() -> R) -> R {
    as_user(owner, pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32, work)
}

/// Runs `work`, which is code of that role, with its rights. Unless the session is that role's own, the code cannot take the
/// rights of the session, nor leave anything behind in it: whoever runs it must not lend it more than it has.
pub(crate) fn as_no_other<R>(role: Oid, work: impl FnOnce() -> R) -> R {
    if role == session_user() && role == current_user() {
        return work();
    }
    let flags = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
    as_user(role, flags as i32, work)
}

/// The role whose rights count now.
pub(crate) fn current_user() -> Oid {
    // SAFETY: reads a value of the session.
    unsafe { pg_sys::GetUserId() }
}

/// The role that the session was begun as.
pub(crate) fn session_user() -> Oid {
    // SAFETY: reads a value of the session.
    unsafe { pg_sys::GetSessionUserId() }
}

/// Whether the statement that called us runs inside BEGIN ... COMMIT.
pub(crate) fn is_in_transaction_block() -> bool {
    // SAFETY: reads the state of the transaction.
    unsafe { pg_sys::IsTransactionBlock() }
}

/// Tells whoever listens to a channel, once the transaction has committed.
pub(crate) fn notify(channel: &str) {
    // SAFETY: the function takes two texts and answers nothing.
    unsafe {
        pgrx::direct_function_call_as_datum(
            pg_sys::pg_notify,
            &[channel.into_datum(), "".into_datum()],
        );
    }
}

/// A random number from 0 up to but not including 1, of the session's own series.
pub(crate) fn random() -> f64 {
    // SAFETY: the function takes nothing and answers a double precision.
    let number = unsafe { pgrx::direct_function_call::<f64>(pg_sys::drandom, &[]) };
    number.unwrap_or_default()
}

/// Whether what the transaction reads must be noted, as others may depend on it.
pub(crate) fn is_serializable() -> bool {
    // SAFETY: reads the isolation level of the transaction.
    unsafe { pg_sys::XactIsoLevel as u32 == pg_sys::XACT_SERIALIZABLE }
}

/// Waits; a cancellation ends it.
pub(crate) fn sleep(milliseconds: i32) {
    let seconds = f64::from(milliseconds) / 1000.0;
    // SAFETY: the function takes one double precision and answers nothing.
    unsafe {
        pgrx::direct_function_call_as_datum(pg_sys::pg_sleep, &[seconds.into_datum()]);
    }
}

fn as_user<R>(user: Oid, flags: i32, work: impl FnOnce() -> R) -> R {
    let mut former = Oid::INVALID;
    let mut context = 0;
    // SAFETY: reads the current user and switches to another; the pair is restored below or by an abort.
    unsafe {
        pg_sys::GetUserIdAndSecContext(&mut former, &mut context);
        pg_sys::SetUserIdAndSecContext(user, context | flags);
    }
    let result = work();
    // SAFETY: restores what was read above.
    unsafe { pg_sys::SetUserIdAndSecContext(former, context) };
    result
}

/// Runs `work` with settings of its own. An abort restores the former ones by itself.
pub(crate) fn with_settings<R>(settings: &[(&CStr, &CStr)], work: impl FnOnce() -> R) -> R {
    let level = set_for_now(settings);
    let result = work();
    end_settings(level);
    result
}

/// Runs `work` under a search path that nobody but a superuser can write to, for queries on the catalogs.
pub(crate) fn with_catalog_path<R>(work: impl FnOnce() -> R) -> R {
    with_settings(&[(c"search_path", c"pg_catalog, pg_temp")], work)
}

/// An error of PostgreSQL that was caught.
pub(crate) struct Failure {
    pub(crate) code: PgSqlErrorCode,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
}

/// Runs `work` in a subtransaction, so that an error of PostgreSQL leaves nothing behind. What is no error of the data (a
/// cancelled statement, a shutdown) is raised on.
pub(crate) fn attempt<R>(
    work: impl FnOnce() -> R + UnwindSafe + RefUnwindSafe,
) -> Result<R, Failure> {
    attempt_catching(
        |code| !matches!(code, ERRCODE_QUERY_CANCELED | ERRCODE_ADMIN_SHUTDOWN),
        work,
    )
}

/// The same, with a choice of which errors are caught.
pub(crate) fn attempt_catching<R>(
    catches: impl Fn(PgSqlErrorCode) -> bool,
    work: impl FnOnce() -> R + UnwindSafe + RefUnwindSafe,
) -> Result<R, Failure> {
    // SAFETY: the subtransaction begun here is ended below on both ways, and context and owner are those from before, as
    // PostgreSQL's own languages do it.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let owner = pg_sys::CurrentResourceOwner;
        pg_sys::BeginInternalSubTransaction(ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        let result = PgTryBuilder::new(move || Ok::<R, Box<CaughtError>>(work()))
            .catch_others(|cause| Err(Box::new(cause)))
            .execute();
        match &result {
            Ok(_) => pg_sys::ReleaseCurrentSubTransaction(),
            Err(_) => pg_sys::RollbackAndReleaseCurrentSubTransaction(),
        }
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
        result.map_err(|cause| match *cause {
            CaughtError::PostgresError(report) | CaughtError::ErrorReport(report)
                if catches(report.sql_error_code()) =>
            {
                Failure {
                    code: report.sql_error_code(),
                    message: report.message().to_owned(),
                    detail: report.detail().map(str::to_owned),
                }
            }
            other => other.rethrow(),
        })
    }
}

fn all(arguments: &[Datum]) -> Vec<Option<Datum>> {
    arguments.iter().copied().map(Some).collect()
}

/// How many triggers are running, each within the one before.
pub(crate) fn trigger_depth() -> i32 {
    // SAFETY: the function takes nothing and answers an integer.
    let depth = unsafe { pgrx::direct_function_call::<i32>(pg_sys::pg_trigger_depth, &[]) };
    depth.unwrap_or_default()
}

/// Bytes that nobody can guess; none if the server has no source of them.
pub(crate) fn random_bytes<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    // SAFETY: the buffer has the length that is named.
    let is_filled = unsafe { pg_sys::pg_strong_random(bytes.as_mut_ptr().cast(), N) };
    is_filled.then_some(bytes)
}

/// The text of a jsonb, unread: serde's own reading of an argument has no way to say what is wrong with it.
pub(crate) fn jsonb_text(value: &AnyElement) -> Option<String> {
    if value.oid() != pg_sys::JSONBOID {
        return None;
    }
    // SAFETY: the value is a jsonb, and the function answers a string of its own.
    let text = unsafe {
        let arguments = [Some(value.datum())];
        pgrx::direct_function_call::<&CStr>(pg_sys::jsonb_out, &arguments)
    };
    text.map(|text| text.to_string_lossy().into_owned())
}

/// A value as an argument of its type, which may be null.
pub(crate) fn nullable(value: Option<impl IntoDatum>) -> Option<Datum> {
    value.and_then(IntoDatum::into_datum)
}

/// A value as an argument of its type.
pub(crate) fn datum(value: impl IntoDatum) -> Datum {
    value
        .into_datum()
        .unwrap_or_else(|| unreachable!("texts, numbers and OIDs are never null"))
}

/// An array of keys as an argument of type bigint[].
pub(crate) fn keys_argument(keys: &[i64]) -> Datum {
    // SAFETY: on the 64-bit platforms PostgreSQL passes bigint by value, a Datum has the layout of an i64, and
    // construct_array copies the elements.
    unsafe {
        let elements = keys.as_ptr().cast_mut().cast::<Datum>();
        let array = pg_sys::construct_array(
            elements,
            keys.len() as i32,
            pg_sys::INT8OID,
            8,
            true,
            pg_sys::TYPALIGN_DOUBLE as c_char,
        );
        Datum::from(array)
    }
}

const _: () = assert!(
    size_of::<Datum>() == size_of::<i64>(),
    "lockstep needs a 64-bit platform"
);

fn first_row<T: FromDatum, const N: usize>() -> Option<[Option<T>; N]> {
    // SAFETY: SPI_tuptable is the result of the statement just run, or null; values are read with the row's own
    // descriptor, copied into Rust's memory by from_datum for types that are not passed by value, and the table freed after.
    unsafe {
        let table = pg_sys::SPI_tuptable;
        let row = (pg_sys::SPI_processed > 0 && !table.is_null()).then(|| {
            let tuple = *(*table).vals;
            std::array::from_fn(|column| {
                let mut is_null = false;
                let datum =
                    pg_sys::SPI_getbinval(tuple, (*table).tupdesc, column as i32 + 1, &mut is_null);
                T::from_datum(datum, is_null)
            })
        });
        pg_sys::SPI_freetuptable(table);
        row
    }
}

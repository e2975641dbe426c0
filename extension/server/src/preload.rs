//! What a library does that is preloaded: a worker that starts with the server and looks into each database.

#![allow(unsafe_code)]

use crate::catalog::every_row;
use crate::rights::{begin_session_of, ourselves};
use crate::worker::{end_for_good, handle_signals, transaction};
use crate::{Failure, dropping, session_user};
use pgrx::PgMemoryContexts;
use pgrx::pg_sys::{self, GucContext, GucSource, Oid};
use std::ffi::CStr;

/// Whether the server is starting and loads the library. pg_upgrade starts servers that must do nothing by themselves.
pub fn is_preloading() -> bool {
    // SAFETY: reads variables of the process.
    unsafe { pg_sys::process_shared_preload_libraries_in_progress && !pg_sys::IsBinaryUpgrade }
}

/// Starts a worker that is connected to no database, so that it is in the way of nobody who drops or copies one. It reads only what
/// all databases share. If it fails PostgreSQL starts it again.
pub fn begin_outside() {
    handle_signals();
    // SAFETY: called once; null stands for no database and no role.
    unsafe { pg_sys::BackgroundWorkerInitializeConnection(std::ptr::null(), std::ptr::null(), 0) };
}

/// The databases that can be connected to, except templates.
pub fn databases() -> Result<Vec<Oid>, Failure> {
    transaction(session_user(), || {
        every_row(pg_sys::DatabaseRelationId, |database| {
            // A drop that was interrupted leaves a limit of -2.
            let is_open = database.is(c"datallowconn")
                && !database.is(c"datistemplate")
                && database
                    .get::<i32>(c"datconnlimit")
                    .is_some_and(|limit| limit != -2);
            is_open.then(|| database.get::<Oid>(c"oid"))?
        })
    })
}

/// Runs `work` outside a transaction, and frees what it has allocated meanwhile.
pub fn in_memory_of_its_own<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: nothing of PostgreSQL's that `work` makes is used afterwards.
    unsafe { PgMemoryContexts::new("lockstep").switch_to(|_| work()) }
}

/// What holds for a worker in any database, whatever is set for the database: it must not keep a DROP DATABASE waiting.
const SETTINGS: [(&CStr, &CStr); 3] = [
    (c"default_transaction_isolation", c"read committed"),
    (c"default_transaction_read_only", c"off"),
    (c"lock_timeout", c"1s"),
];

/// Starts a worker in a database, for good as the role that owns the extension; returns the role, or None if the database does not
/// have the extension in this version.
pub fn begin_as_extension(database: Oid, version: &str) -> Option<Oid> {
    end_for_good();
    handle_signals();
    // SAFETY: called once; names and values outlive the calls. If the worker cannot connect, the process ends.
    unsafe {
        for (name, value) in SETTINGS {
            let (context, source) = (GucContext::PGC_SUSET, GucSource::PGC_S_OVERRIDE);
            pg_sys::SetConfigOption(name.as_ptr(), value.as_ptr(), context, source);
        }
        pg_sys::BackgroundWorkerInitializeConnectionByOid(database, Oid::INVALID, 0);
    }
    // It reads catalogs alone before it is somebody without rights.
    let found = transaction(session_user(), || {
        let extension = dropping::extension().to_string_lossy();
        let versions = every_row(pg_sys::ExtensionRelationId, |entry| {
            (entry.name(c"extname") == extension).then(|| entry.get::<String>(c"extversion"))?
        });
        // SAFETY: looks up the role, in a transaction.
        (versions == [version])
            .then(|| (ourselves(), unsafe { pg_sys::superuser_arg(ourselves()) }))
    });
    let (role, is_superuser) = found.ok().flatten()?;
    begin_session_of(role, is_superuser);
    Some(role)
}

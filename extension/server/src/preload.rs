//! What a library does that is preloaded: a worker that starts with the server and looks into databases. What processes have to tell
//! it is in shared memory: a word each.

#![allow(unsafe_code)]

use crate::catalog::every_row;
use crate::rights::{begin_session_of, ourselves};
use crate::worker::{end_for_good, handle_signals, transaction};
use crate::{Failure, dropping, session_user};
use pgrx::pg_sys::{self, GucContext, GucSource, Oid};
use pgrx::{PgAtomic, PgMemoryContexts, pg_guard, pg_shmem_init};
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

// SAFETY: nobody else's shared memory has these names.
static NOT_OURS: PgAtomic<AtomicU32> = unsafe { PgAtomic::new(c"lockstep: not ours") };
// SAFETY: as above.
static ANNOUNCED: PgAtomic<AtomicU32> = unsafe { PgAtomic::new(c"lockstep: announced") };

/// In place of a database that is announced: there are several.
const SEVERAL: u32 = u32::MAX;

/// Of the server's first process, from which all others are forked.
static HAS_SHARED_MEMORY: AtomicBool = AtomicBool::new(false);

/// Asks for the shared memory. Called when the library is preloaded.
pub fn share_memory() {
    pg_shmem_init!(NOT_OURS);
    pg_shmem_init!(ANNOUNCED);
    HAS_SHARED_MEMORY.store(true, Relaxed);
}

/// Tells the launcher, which waits for this process, that there is nothing for it in this database.
pub fn is_not_ours(database: Oid) {
    NOT_OURS.get().store(database.to_u32(), Relaxed);
}

/// Whether the last process that it has waited for said so of this database.
pub fn was_not_ours(database: Oid) -> bool {
    NOT_OURS.get().swap(0, Relaxed) == database.to_u32()
}

/// Tells the launcher, if there is one, that there is something for it in this database.
pub fn announce(database: Oid) {
    if HAS_SHARED_MEMORY.load(Relaxed) {
        let this = database.to_u32();
        let both = |other| {
            Some(if other == 0 || other == this {
                this
            } else {
                SEVERAL
            })
        };
        let _ = ANNOUNCED.get().fetch_update(Relaxed, Relaxed, both);
    }
}

/// Whether a database may have been announced since this was called last.
pub fn announced() -> impl Fn(Oid) -> bool {
    let announced = ANNOUNCED.get().swap(0, Relaxed);
    move |database| announced == SEVERAL || announced == database.to_u32()
}

/// Whether the server is starting and loads the library. pg_upgrade starts servers that must do nothing by themselves.
pub fn is_preloading() -> bool {
    // SAFETY: reads variables of the process.
    unsafe { pg_sys::process_shared_preload_libraries_in_progress && !pg_sys::IsBinaryUpgrade }
}

/// Whoever sets a setting of this prefix that is not defined by now, as by a typing error, is told so.
pub fn reserve_settings(prefix: &CStr) {
    // SAFETY: the name outlives the call.
    unsafe {
        #[cfg(any(feature = "pg13", feature = "pg14"))]
        pg_sys::EmitWarningsOnPlaceholders(prefix.as_ptr());
        #[cfg(not(any(feature = "pg13", feature = "pg14")))]
        pg_sys::MarkGUCPrefixReserved(prefix.as_ptr());
    }
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
const SETTINGS: [(&CStr, &CStr); 4] = [
    (c"default_transaction_isolation", c"read committed"),
    (c"default_transaction_read_only", c"off"),
    (c"lock_timeout", c"1s"),
    // After a failover there may be no standby to wait for yet.
    (c"synchronous_commit", c"local"),
];

/// Starts a worker in a database, for good as the role that owns the extension; returns the role, or None if the database does not
/// have the extension in this version.
pub fn begin_as_extension(database: Oid, version: &str) -> Result<Option<Oid>, Failure> {
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
    })?;
    Ok(found.map(|(role, is_superuser)| {
        begin_session_of(role, is_superuser);
        role
    }))
}

//! Connections to the server programming interface (SPI), and the transaction and snapshot of a procedure.

#![allow(unsafe_code)]

use pgrx::pg_sys;

/// Runs `work` with an SPI connection. An error needs no clean-up here: the (sub)transaction's abort closes it.
pub fn connected<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: every connection is closed, below or by the abort.
    unsafe { pg_sys::SPI_connect() };
    let result = work();
    // SAFETY: closes the connection opened above; `work` has closed its own.
    unsafe { pg_sys::SPI_finish() };
    result
}

/// Whether the called function or procedure may not commit: it is not a procedure, or was called in a transaction block.
#[expect(clippy::not_unsafe_ptr_arg_deref, reason = "only PostgreSQL makes one")]
pub fn is_atomic(call: pg_sys::FunctionCallInfo) -> bool {
    // SAFETY: the context of a call is null or a node with a tag.
    unsafe {
        let context = (*call).context;
        context.is_null()
            || (*context).type_ != pg_sys::NodeTag::T_CallContext
            || (*context.cast::<pg_sys::CallContext>()).atomic
    }
}

/// Commits in a procedure that may commit. The session then holds no snapshot until something takes one.
pub fn commit() {
    // SAFETY: PostgreSQL commits and starts a transaction inside a non-atomic SPI connection, which is closed here.
    unsafe {
        pg_sys::SPI_connect_ext(pg_sys::SPI_OPT_NONATOMIC as i32);
        pg_sys::SPI_commit();
        pg_sys::SPI_finish();
    }
}

/// Runs `work` with a current snapshot, where the session holds none.
pub fn with_snapshot<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: the snapshot is taken in a transaction; after an error the abort releases it.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
    let result = work();
    // SAFETY: the snapshot pushed above, because `work` has popped its own.
    unsafe { pg_sys::PopActiveSnapshot() };
    result
}

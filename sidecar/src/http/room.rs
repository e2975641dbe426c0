//! A memory limit for bodies: clients that are not authenticated yet must not fill the memory.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::StatusCode;
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::problem::Problem;

/// Shared memory is counted in pieces of this size.
const PIECE: usize = 4 << 10;

pub(crate) struct Room {
    /// Each body has this much; hardly any needs more.
    own: usize,
    /// Shared by all larger bodies.
    shared: Semaphore,
}

/// A body, and the memory it uses.
pub(crate) struct Read<'a> {
    pub(crate) bytes: Vec<u8>,
    _room: Option<SemaphorePermit<'a>>,
}

impl Room {
    pub(crate) const fn new(own: usize, shared: usize) -> Self {
        Self {
            own,
            shared: Semaphore::const_new(shared / PIECE),
        }
    }

    /// Reads a whole body, within limits of size and time. Memory is reserved for what has arrived, not for what is announced.
    pub(crate) async fn read(
        &self,
        body: Body,
        largest: usize,
        patience: Duration,
    ) -> Result<Read<'_>, Problem> {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > largest {
            return Err(Problem::too_large());
        }
        let reading = timeout(patience, self.collect(body, largest));
        reading.await.unwrap_or_else(|_| Err(Problem::too_slow()))
    }

    async fn collect(&self, mut body: Body, largest: usize) -> Result<Read<'_>, Problem> {
        let mut bytes = Vec::new();
        let mut room: Option<SemaphorePermit<'_>> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::broken_off())?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let length = bytes.len() + data.len();
            if length > largest {
                return Err(Problem::too_large());
            }
            // The buffer grows in steps, and may only use part of the last one.
            if length > bytes.capacity() {
                let capacity = (length + length / 4).min(largest);
                let needed = capacity.saturating_sub(self.own).div_ceil(PIECE);
                let has = room.as_ref().map_or(0, SemaphorePermit::num_permits);
                if needed > has {
                    let more = u32::try_from(needed - has).unwrap_or(u32::MAX);
                    let more = self.shared.try_acquire_many(more).map_err(|_| FULL)?;
                    match &mut room {
                        Some(room) => room.merge(more),
                        None => room = Some(more),
                    }
                }
                bytes.reserve_exact(capacity - bytes.len());
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Read { bytes, _room: room })
    }
}

/// Waiting for memory would hold up those that have it.
const FULL: Problem = Problem::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "Too much arrives at the same time; try again.",
);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;

    use super::{FULL, PIECE, Problem, Read, Room};

    const OWN: usize = 64 << 10;
    const PATIENCE: Duration = Duration::from_secs(60);
    const LARGEST: usize = OWN + 8 * PIECE;

    async fn read(room: &Room, length: usize) -> Result<Read<'_>, Problem> {
        room.read(Body::from(vec![7; length]), LARGEST, PATIENCE)
            .await
    }

    #[tokio::test]
    async fn small_bodies_need_no_room() {
        let none = Room::new(2 * OWN, 0);
        for length in [0, 1, OWN] {
            let read = read(&none, length).await;
            assert_eq!(read.map(|it| it.bytes.len()).ok(), Some(length));
        }
        let none = Room::new(OWN, 0);
        assert_eq!(read(&none, OWN + 1).await.err(), Some(FULL));
    }

    #[tokio::test]
    async fn room_is_shared_and_comes_back() {
        let room = Room::new(OWN, 8 * PIECE);
        let first = read(&room, OWN + 2 * PIECE).await;
        assert!(first.is_ok());
        assert_eq!(read(&room, OWN + PIECE).await.err(), Some(FULL));
        drop(first);
        assert!(read(&room, OWN + 3 * PIECE).await.is_ok());
        assert_eq!(room.shared.available_permits(), 8);
    }

    #[tokio::test]
    async fn too_much_is_refused() {
        let room = Room::new(OWN, LARGEST);
        assert!(read(&room, LARGEST).await.is_ok());
        let announced = read(&room, LARGEST + 1).await.err();
        assert_eq!(announced, Some(Problem::too_large()));
    }
}

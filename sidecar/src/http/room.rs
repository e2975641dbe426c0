//! A memory limit for bodies: clients that are not authenticated yet must not fill the memory.

use std::ops::Deref;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use http_body_util::BodyExt;
use memmap2::MmapMut;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::pace::Pace;
use super::problem::Problem;

/// Shared memory is counted in pieces of this size.
const PIECE: usize = 4 << 10;

pub(crate) struct Room {
    /// Each body has this much; hardly any needs more.
    own: usize,
    /// Shared by all larger bodies.
    shared: Semaphore,
    /// At which those are read.
    pace: Pace,
}

/// A body, and the memory it uses.
pub(crate) struct Read<'a> {
    pub(crate) bytes: Buffer,
    _room: Option<SemaphorePermit<'a>>,
}

/// The bytes of a body.
pub(crate) enum Buffer {
    Small(Vec<u8>),
    /// In memory of its own, which goes back when it is moved into a larger one. The allocator would keep what is freed: several times
    /// as much as all bodies together. It is at most twice as large as what has arrived: also the address space of clients that are
    /// not authenticated is limited where the kernel does not overcommit (`vm.overcommit_memory = 2`, as PostgreSQL advises).
    Large {
        map: MmapMut,
        length: usize,
    },
}

impl Buffer {
    /// None if there is no room for them.
    fn push(&mut self, data: &[u8]) -> Option<()> {
        match self {
            Self::Small(bytes) => {
                let length = bytes.len() + data.len();
                if length > bytes.capacity() {
                    bytes.reserve_exact(length + length / 4 - bytes.len());
                }
                bytes.extend_from_slice(data);
            }
            Self::Large { map, length } => {
                let end = *length + data.len();
                map.get_mut(*length..end)?.copy_from_slice(data);
                *length = end;
            }
        }
        Some(())
    }

    /// The same bytes, with room for as many more as there will be then, up to the largest body.
    fn enlarged(&self, length: usize, largest: usize) -> Option<Self> {
        let mut large = Self::Large {
            map: MmapMut::map_anon((2 * length).min(largest)).ok()?,
            length: 0,
        };
        large.push(self)?;
        Some(large)
    }

    /// Whether so many bytes have room, in memory of its own.
    fn fits(&self, length: usize) -> bool {
        matches!(self, Self::Large { map, .. } if length <= map.len())
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Small(bytes) => bytes,
            Self::Large { map, length } => &map[..*length],
        }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Buffer> for Bytes {
    fn from(buffer: Buffer) -> Self {
        match buffer {
            Buffer::Small(bytes) => bytes.into(),
            large @ Buffer::Large { .. } => Self::from_owner(large),
        }
    }
}

impl Room {
    pub(crate) const fn new(own: usize, shared: usize) -> Self {
        Self {
            own,
            shared: Semaphore::const_new(shared / PIECE),
            pace: Pace::new(),
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
        let mut bytes = Buffer::Small(Vec::new());
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
            let needed = length.saturating_sub(self.own).div_ceil(PIECE);
            let has = room.as_ref().map_or(0, SemaphorePermit::num_permits);
            if needed > has {
                let more = u32::try_from(needed - has).unwrap_or(u32::MAX);
                let more = self.shared.try_acquire_many(more).map_err(|_| FULL)?;
                match &mut room {
                    Some(room) => room.merge(more),
                    None => room = Some(more),
                }
            }
            if room.is_some() && !bytes.fits(length) {
                bytes = bytes.enlarged(length, largest).ok_or(FULL)?;
            }
            bytes.push(&data).ok_or(FULL)?;
            if room.is_some() {
                self.pace.wait(data.len()).await;
            }
        }
        Ok(Read { bytes, _room: room })
    }
}

/// Waiting for memory would hold up those that have it.
pub(crate) const FULL: Problem = Problem::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "Too much arrives at the same time; try again.",
);

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use axum::body::{Body, Bytes, HttpBody};
    use hyper::body::Frame;

    use super::{Buffer, FULL, PIECE, Problem, Read, Room};

    const OWN: usize = 64 << 10;
    const PATIENCE: Duration = Duration::from_secs(60);
    const LARGEST: usize = OWN + 8 * PIECE;

    /// A body that arrives in several frames.
    struct Frames(VecDeque<Bytes>);

    impl HttpBody for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|bytes| Ok(Frame::data(bytes))))
        }
    }

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
    async fn bytes_stay_as_they_came() {
        let room = Room::new(OWN, LARGEST);
        for length in [1, OWN - 1, OWN, OWN + 1, OWN + 2 * PIECE, LARGEST] {
            let sent: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
            let frames = sent.chunks(1000).map(Bytes::copy_from_slice).collect();
            let read = room
                .read(Body::new(Frames(frames)), LARGEST, PATIENCE)
                .await;
            let read = read.map(|it| Bytes::from(it.bytes)).ok();
            assert_eq!(read.as_deref(), Some(sent.as_slice()), "{length}");
        }
        assert_eq!(room.shared.available_permits(), LARGEST / PIECE);
    }

    /// A client that has sent little must not get much.
    #[tokio::test]
    async fn memory_is_at_most_twice_what_has_arrived() {
        const LARGEST: usize = 25 << 20;
        let room = Room::new(OWN, LARGEST);
        for length in [OWN + 1, 2 * OWN, 5 * OWN + 1, LARGEST / 2 + 1, LARGEST] {
            let sent = Bytes::from(vec![7; length]);
            let frames = (0..length).step_by(16 << 10);
            let frames = frames.map(|begin| sent.slice(begin..length.min(begin + (16 << 10))));
            let body = Body::new(Frames(frames.collect()));
            let read = room.read(body, LARGEST, PATIENCE).await;
            let has = read.map(|it| match it.bytes {
                Buffer::Large { map, length } => (length, map.len() <= 2 * length),
                Buffer::Small(bytes) => (bytes.len(), false),
            });
            assert_eq!(has.ok(), Some((length, true)));
        }
    }

    #[tokio::test]
    async fn room_is_shared_and_comes_back() {
        let room = Room::new(OWN, 8 * PIECE);
        let first = read(&room, OWN + 7 * PIECE).await;
        assert!(first.is_ok());
        assert_eq!(read(&room, OWN + PIECE + 1).await.err(), Some(FULL));
        drop(first);
        assert!(read(&room, OWN + PIECE + 1).await.is_ok());
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

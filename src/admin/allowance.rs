//! How much of a form's body its parser may take before it has found the next field: it keeps all that stands before
//! it, a preamble and a field's header, however long they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, ready};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use futures_lite::{StreamExt, stream};

/// Bytes between two fields; a browser sends some hundred.
const BETWEEN: u64 = 64 * 1024;

/// What may still be taken of a body.
#[derive(Clone, Default)]
pub(super) struct Allowance(Arc<AtomicU64>);

impl Allowance {
    /// The request, with a body that ends in an error once more than is allowed was taken of it. It comes a piece at a
    /// time, for the parser takes all that is ready, and a client that is faster than the disk would fill the memory.
    pub(super) fn of(&self, request: Request) -> Request {
        let allowance = self.clone();
        request.map(|body| {
            let (mut pieces, mut pauses) = (body.into_data_stream(), false);
            Body::from_stream(stream::poll_fn(move |context| {
                if std::mem::take(&mut pauses) {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let next = ready!(pieces.poll_next(context));
                pauses = true;
                Poll::Ready(next.map(|piece| match piece {
                    Ok(piece) if allowance.take(&piece) => Ok(piece),
                    Ok(_) => Err(axum::Error::new("more stands before a field than any browser sends")),
                    Err(error) => Err(error),
                }))
            }))
        })
    }

    /// The next field is looked for.
    pub(super) fn between(&self) {
        self.0.store(BETWEEN, Ordering::Relaxed);
    }

    /// What a field holds is taken as it comes, and bounded there.
    pub(super) fn inside(&self) {
        self.0.store(u64::MAX, Ordering::Relaxed);
    }

    /// The piece in which the limit is reached still passes: what is asked for ends somewhere in it.
    fn take(&self, piece: &Bytes) -> bool {
        let take = |left: u64| Some(left.saturating_sub(piece.len() as u64));
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok_and(|left| left > 0)
    }
}

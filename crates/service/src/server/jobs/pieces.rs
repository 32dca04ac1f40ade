//! Shares that are sent in several answers.

use std::path::Path;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use shamisen_data::encrypted::{StorageKey, read_part};

use crate::Result;
use crate::server::state::Shared;

/// Bytes of a share that are sent in an answer.
const PIECE: usize = 1 << 22;

/// The piece of a share that begins at this byte; behind the end it is empty.
pub(super) fn piece(mut share: Vec<u8>, from: u64) -> Response {
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    share.truncate(from.saturating_add(PIECE));
    share.drain(..from.min(share.len()));
    sent(share)
}

/// The piece of a share that is kept in this file. Waits for the disk.
pub(super) fn piece_of_file(shared: &Shared, place: &Path, from: u64) -> Result<Response> {
    let key = StorageKey::read(&shared.config().storage_key)?;
    Ok(sent(read_part(place, &key, from, PIECE)?))
}

fn sent(piece: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/octet-stream")], piece).into_response()
}

#[cfg(test)]
mod tests {
    use shamisen_data::encrypted;

    use super::*;
    use crate::server::tests::router;

    async fn content(answer: Response) -> Vec<u8> {
        axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap().to_vec()
    }

    #[tokio::test]
    async fn pieces_make_up_the_share() {
        let (_, shared, dir) = router();
        let share: Vec<u8> = (0..PIECE + 10).map(|at| at as u8).collect();
        let place = dir.path().join("share");
        let key = StorageKey::read(&shared.config().storage_key).unwrap();
        encrypted::write(&place, &key, &share).unwrap();
        let from_file = |from| piece_of_file(&shared, &place, from).unwrap();
        let mut all = Vec::new();
        while all.len() < share.len() {
            let from = all.len() as u64;
            let next = content(piece(share.clone(), from)).await;
            assert!(!next.is_empty() && next.len() <= PIECE);
            assert_eq!(content(from_file(from)).await, next);
            all.extend(next);
        }
        assert_eq!(all, share);
        for from in [PIECE as u64 + 10, PIECE as u64 + 11, u64::MAX] {
            assert!(content(piece(share.clone(), from)).await.is_empty());
            assert!(content(from_file(from)).await.is_empty());
        }
    }
}

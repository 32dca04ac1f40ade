//! Shares that are sent in several answers.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

/// Bytes of a share that are sent in an answer.
const PIECE: usize = 1 << 22;

/// The piece of a share that begins at this byte; behind the end it is empty.
pub(super) fn piece(mut share: Vec<u8>, from: usize) -> impl IntoResponse + use<> {
    share.truncate(from.saturating_add(PIECE));
    share.drain(..from.min(share.len()));
    ([(CONTENT_TYPE, "application/octet-stream")], share)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sent(length: usize, from: usize) -> Vec<u8> {
        let share = (0..length).map(|at| at as u8).collect();
        let body = piece(share, from).into_response().into_body();
        axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec()
    }

    #[tokio::test]
    async fn pieces_make_up_the_share() {
        let mut all = Vec::new();
        while all.len() < PIECE + 10 {
            let next = sent(PIECE + 10, all.len()).await;
            assert!(!next.is_empty() && next.len() <= PIECE);
            all.extend(next);
        }
        assert_eq!(all, (0..PIECE + 10).map(|at| at as u8).collect::<Vec<_>>());
        for from in [PIECE + 10, PIECE + 11, usize::MAX] {
            assert!(sent(PIECE + 10, from).await.is_empty());
        }
    }
}

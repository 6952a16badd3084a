//! Bodies that a client has compressed by zstd. Ollama takes them on `/v1`.

use bytes::Bytes;
use http::{HeaderMap, header};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Maximum size of a body once it is unpacked, bytes: Ollama's.
pub(super) const LARGEST: u64 = 20 << 20;
/// Maximum distance to which a packed body may refer back, bytes: Ollama's.
const WINDOW: u64 = 8 << 20;

/// Why a body cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Packed {
    /// Ollama's words.
    #[error("invalid input: magic number mismatch")]
    NoZstd,
    /// The rest of the body is damaged, cut, or needs too much memory.
    #[error("the request's body cannot be unpacked: {0}")]
    Damaged(#[from] FrameDecoderError),
    /// The system's.
    #[error("the request's body cannot be unpacked: {0}")]
    Unwritten(#[from] std::io::Error),
    /// More than is allowed.
    #[error("the request's body has more than {0} bytes once it is unpacked")]
    TooLarge(u64),
}

/// Whether a body is marked as packed.
pub(super) fn is_packed(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding.as_bytes() == b"zstd")
}

/// Unpacks a body of at most `most` bytes. It holds no more than these bytes, and yields between its blocks.
pub(super) async fn unpacked(packed: &[u8], most: u64) -> Result<Bytes, Packed> {
    let (mut rest, mut body) = (packed, Vec::new());
    while !rest.is_empty() {
        // A used decoder would take the memory of a whole window at once.
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW);
        match decoder.init(&mut rest) {
            Ok(()) => {}
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                rest = usize::try_from(length).ok().and_then(|length| rest.get(length..)).unwrap_or_default();
                continue;
            }
            Err(FrameDecoderError::ReadFrameHeaderError(
                ReadFrameHeaderError::BadMagicNumber(_) | ReadFrameHeaderError::MagicNumberReadError(_),
            )) => return Err(Packed::NoZstd),
            Err(damaged) => return Err(damaged.into()),
        }
        let mut is_last = false;
        while !is_last {
            is_last = decoder.decode_blocks(&mut rest, BlockDecodingStrategy::UptoBlocks(1))?;
            decoder.collect_to_writer(&mut body)?;
            if body.len() as u64 > most {
                return Err(Packed::TooLarge(most));
            }
            tokio::task::yield_now().await;
        }
    }
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    fn packed(body: &[u8]) -> Vec<u8> {
        compress_to_vec(body, CompressionLevel::Fastest)
    }

    #[tokio::test]
    async fn a_packed_body_is_unpacked_and_other_bytes_are_refused_in_ollamas_words() {
        let long = "word ".repeat(500_000);
        for text in ["", "{}", &long] {
            assert_eq!(unpacked(&packed(text.as_bytes()), LARGEST).await.unwrap(), text);
        }
        let two = [packed(b"{\"a\":"), packed(b"1}")].concat();
        assert_eq!(unpacked(&two, LARGEST).await.unwrap(), "{\"a\":1}");
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 7, 7][..], &packed(b"{}")].concat();
        assert_eq!(unpacked(&skipped, LARGEST).await.unwrap(), "{}");
        for other in [&b"{\"model\":\"m\"}"[..], b"x"] {
            assert_eq!(unpacked(other, LARGEST).await.unwrap_err().to_string(), "invalid input: magic number mismatch");
        }
    }

    #[tokio::test]
    async fn a_bomb_ends_at_the_limit_and_a_damaged_body_is_an_error() {
        let bomb = packed(&vec![b'x'; 30 << 20]);
        assert!(bomb.len() < 100_000, "{}", bomb.len());
        assert!(matches!(unpacked(&bomb, LARGEST).await, Err(Packed::TooLarge(LARGEST))));
        let whole = packed(&b"some words ".repeat(1000));
        for length in 1..whole.len() {
            assert!(unpacked(&whole[..length], LARGEST).await.is_err(), "{length}");
        }
        let wide = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 0x01, 0x00, 0x00];
        assert!(unpacked(&wide, LARGEST).await.is_err());
    }
}

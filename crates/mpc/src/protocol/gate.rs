//! The rectifier together with the truncation before it, and the same gate once more for the way back.

use shamisen_net::Peers;
use shamisen_ring::gate::{Known, Summands, known_to_one, known_to_two};
use shamisen_ring::words::Words;
use shamisen_ring::{bits, pack};

use crate::error::Result;
use crate::protocol::compare::Sign;
use crate::protocol::split::Split;
use crate::protocol::split_bits::SplitBits;
use crate::protocol::truncate::{OFFSET, RANGE_BITS};
use crate::roles::{CHUNK, Part, Posted, Role, Round, chunks, parts_at, pieces, together};
use crate::session::{Key, Session, Stream};
use crate::share::Rep;

/// For each element a shared bit: 1 lets a number pass, 0 makes it 0.
///
/// The bit is `c XOR d` with `c` known to First and `d` to the two others. Once a number has passed, these have summands of
/// `c` besides.
pub struct Gate {
    /// A plane.
    bits: SplitBits,
    /// Second's and Third's summands of `c`.
    summands: Option<Words>,
}

/// How much First shares.
#[derive(Clone, Copy)]
struct Sizes {
    bits: u32,
    with_bit: bool,
}

impl Sizes {
    /// In words: the signed number, c if it is wanted, and the two cases of the top bit.
    fn of(self, part: &Part) -> [usize; 4] {
        let packed = pack::packed_words(part.len(), self.bits);
        [part.len(), if self.with_bit { part.len() } else { 0 }, packed, packed]
    }
}

/// A piece of which the first messages are sent.
struct Begun {
    parts: [Part; 3],
    sizes: Sizes,
    /// Second's summands of what First shares.
    streams: Option<[Stream; 4]>,
    posted: Posted,
}

/// `max(z, 0)` divided by `2^bits`, and the gate that let it pass.
///
/// `z` is in `[-2^62, 2^62)`, and `|z| <= 2^(bits + width - 1) - 2^bits`; `bits` and the digits of `width` are 64 at most. The
/// result is 0, or has the error of [`truncate`](crate::protocol::truncate::truncate); a `z` from 0 to `2^bits` may pass or not.
///
/// The sign is that of the components without their lowest `bits`, whose sum is the floor of `z / 2^bits` or one less. What
/// passes is computed by [`Gate::pass`]; the last AND of the sign needs no round of its own. If `z` is open, the first round
/// closes it. With d digits for `width` bits: 3 + ceil(log2(d)) rounds; `20 d` bits and fewer than 2 `d` ANDs for the sign,
/// then 40 bytes + 2 `bits` bits.
///
/// # Errors
///
/// When a peer fails.
pub fn rectify(z: &mut Split, bits: u32, width: u32, session: &mut Session) -> Result<(Rep, Gate)> {
    let negative = Sign::of(z, bits, width, session)?.split(z.cuts(), session);
    let mut gate = Gate { bits: negative.inverted(session.party()), summands: None };
    let passed = gate.pass(z, bits, session)?;
    Ok((passed, gate))
}

impl Gate {
    /// `z` divided by `2^bits` where the bit is 1, otherwise 0; `z` is in `[-2^62, 2^62)`, the error that of
    /// [`truncate`](crate::protocol::truncate::truncate).
    ///
    /// Let `a` and `b` be the components of `z + 2^62 - 1`, and `A = a >> bits`, `B = b >> bits`. As in a truncation the wrap of
    /// their sum is `w = msb(a) OR msb(b)`, and `A + B - w 2^(64 - bits)` is what may pass. Times `c XOR d`,
    ///
    /// - `A` becomes `c A + d (1 - 2c) A`: First shares the last two factors between the two others;
    /// - `B` becomes `d B + c (1 - 2d) B`: they have summands of `c`, and know the rest;
    /// - `w` becomes `c XOR d` where `msb(b)` is 1, and otherwise `msb(a)` where `c` is not `d`: First shares what that is for
    ///   `d = 0` and for `d = 1`, modulo `2^bits`.
    ///
    /// First draws one summand of each from `s_1`, which Second has too, and sends the rest to Third, which lacks it. What the
    /// three then have is reshared.
    ///
    /// 2 rounds, 32 bytes + 2 `bits` bits; the first time 8 bytes more, for `c`. If `z` is open, the first round closes it.
    ///
    /// # Errors
    ///
    /// When a peer fails.
    ///
    /// # Panics
    ///
    /// When there is not one number for each bit, which is a mistake of the caller.
    pub fn pass(&mut self, z: &mut Split, bits: u32, session: &mut Session) -> Result<Rep> {
        assert!((1..RANGE_BITS).contains(&bits), "truncation by 1 to 61 bits, not {bits}");
        assert_eq!(self.bits.cuts(), z.cuts(), "a gate is for as many numbers as it was made for");
        let with_bit = self.summands.is_none();
        let mut summands = self.summands.take().unwrap_or_else(|| Words::zeros(z.len()));
        let mut out = Rep::scratch(z.len());
        let mut begun = Vec::new();
        for parts in pieces(&parts_at(z.cuts(), session.party())) {
            let sizes = Sizes { bits, with_bit };
            begun.push(self.begin(parts, z, sizes, &mut out.mine, session)?);
        }
        let mut resharing = Vec::with_capacity(begun.len());
        for (at, begun) in begun.into_iter().enumerate() {
            resharing.push(self.meet(begun, z, at == 0, &mut summands, &mut out.mine, session)?);
        }
        for (at, (parts, posted)) in resharing.into_iter().enumerate() {
            let mut incoming = posted.collect(at == 0, session)?;
            for part in &parts {
                out.next[part.elements.clone()].copy_from_slice(incoming.take_next(part.len()));
            }
        }
        session.flush()?;
        z.set_closed();
        self.bits.set_closed();
        self.summands = Some(summands);
        Ok(out)
    }

    /// First half of the first round for a piece: First shares what the others need, and has its summand of the result.
    fn begin(
        &self,
        parts: [Part; 3],
        z: &Split,
        sizes: Sizes,
        out: &mut [u64],
        session: &mut Session,
    ) -> Result<Begun> {
        let mut round = Round::new(&parts, |role, part| {
            let open = together(z.sends(role, part), self.bits.sends(role, part));
            let size = if role == Role::First { sizes.of(part).iter().sum() } else { 0 };
            together(open, Peers { next: 0, prev: size })
        });
        z.send(&parts, &mut round);
        self.bits.send(&parts, &mut round);
        let mut streams = None;
        for part in &parts {
            let steps: [_; 4] = session.steps();
            let key = match part.role {
                Role::First => Key::Next,
                Role::Second => Key::Own,
                Role::Third => continue,
            };
            let masks = steps.map(|step| session.stream(key, step));
            if part.role == Role::First {
                let message = round.write_prev(sizes.of(part).iter().sum());
                self.share(part, z, sizes, &masks, message, &mut out[part.elements.clone()]);
            } else {
                streams = Some(masks);
            }
        }
        Ok(Begun { posted: round.post(session)?, parts, sizes, streams })
    }

    /// Second half of the first round for a piece, and first half of the second: all have summands of the result, and reshare them.
    fn meet(
        &mut self,
        begun: Begun,
        z: &mut Split,
        new_round: bool,
        summands: &mut [u64],
        out: &mut [u64],
        session: &mut Session,
    ) -> Result<([Part; 3], Posted)> {
        let Begun { parts, sizes, streams, posted } = begun;
        let Sizes { bits, with_bit } = sizes;
        let mut incoming = posted.collect(new_round, session)?;
        z.receive_piece(&parts, &mut incoming);
        self.bits.receive_piece(&parts, &mut incoming);
        for part in &parts {
            let place = part.elements.clone();
            let received = match part.role {
                Role::First => continue,
                Role::Second => &[][..],
                Role::Third => incoming.take_next(sizes.of(part).iter().sum()),
            };
            let summands = &mut summands[place.clone()];
            let mut cut = received;
            let [signed, bit, set, clear] =
                sizes.of(part).map(|size| cut.split_off(..size.min(cut.len())).unwrap_or_default());
            if with_bit && part.role == Role::Third {
                summands.copy_from_slice(bit);
            }
            let mut buffers = [(); 3].map(|()| Words::scratch(CHUNK));
            for chunk in chunks(part.len()) {
                let [first, second, third] = buffers.each_mut().map(|buffer| &mut buffer[..chunk.len()]);
                let signed = if let (Role::Second, Some([mask, bit_mask, set_mask, clear_mask])) =
                    (part.role, &streams)
                {
                    mask.fill(chunk.start, first);
                    set_mask.fill_bits(bits, chunk.start, second);
                    clear_mask.fill_bits(bits, chunk.start, third);
                    if with_bit {
                        bit_mask.fill(chunk.start, &mut summands[chunk.clone()]);
                    }
                    &*first
                } else {
                    pack::unpack(pack::part(set, &chunk, bits), bits, second);
                    pack::unpack(pack::part(clear, &chunk, bits), bits, third);
                    &signed[chunk.clone()]
                };
                let shared = Summands {
                    signed,
                    bit: &summands[chunk.clone()],
                    top_if_set: second,
                    top_if_clear: third,
                };
                let elements = place.start + chunk.start..place.start + chunk.end;
                let plane = &self.bits.plane(0)[elements.start / 64..elements.end.div_ceil(64)];
                let lead = part.role == Role::Second;
                known_to_two(&mut out[elements.clone()], shared, &z.own[elements], plane, bits, lead);
            }
        }
        let mut round = Round::new(&parts, |_, part| Peers { next: 0, prev: part.len() });
        for part in &parts {
            let (own, next) = session.zero_sharing();
            let summand = &mut out[part.elements.clone()];
            let message = round.write_prev(part.len());
            for chunk in chunks(part.len()) {
                let summand = &mut summand[chunk.clone()];
                own.add_into(chunk.start, summand);
                next.sub_into(chunk.start, summand);
                message[chunk].copy_from_slice(summand);
            }
        }
        Ok((parts, round.post(session)?))
    }

    /// First's message to Third, masked, and its own summand of the result.
    fn share(
        &self,
        part: &Part,
        z: &Split,
        sizes: Sizes,
        [signed_mask, bit_mask, set_mask, clear_mask]: &[Stream; 4],
        message: &mut [u64],
        own: &mut [u64],
    ) {
        let (bits, [signed_size, bit_size, top_size, _]) = (sizes.bits, sizes.of(part));
        let (signed_out, rest) = message.split_at_mut(signed_size);
        let (bit_out, rest) = rest.split_at_mut(bit_size);
        let (set_out, clear_out) = rest.split_at_mut(top_size);
        let offset = 1_u64.wrapping_sub(1 << (RANGE_BITS - bits));
        let mut buffers = [(); 4].map(|()| Words::scratch(CHUNK));
        for chunk in chunks(part.len()) {
            let elements = part.elements.start + chunk.start..part.elements.start + chunk.end;
            let [a, bit, set, clear] = buffers.each_mut().map(|buffer| &mut buffer[..chunk.len()]);
            a.copy_from_slice(&z.own[elements.clone()]);
            bits::add_constant(a, OFFSET);
            let signed = &mut signed_out[chunk.clone()];
            let plane = &self.bits.plane(0)[elements.start / 64..elements.end.div_ceil(64)];
            let known =
                Known { signed, bit, top_if_set: set, top_if_clear: clear, own: &mut own[chunk.clone()] };
            known_to_one(known, a, plane, bits, offset);
            signed_mask.sub_into(chunk.start, &mut signed_out[chunk.clone()]);
            if let Some(out) = bit_out.get_mut(chunk.clone()) {
                out.copy_from_slice(bit);
                bit_mask.sub_into(chunk.start, out);
            }
            for (top, mask, out) in [(set, set_mask, &mut *set_out), (clear, clear_mask, &mut *clear_out)] {
                mask.fill_bits(bits, chunk.start, a);
                bits::sub_assign(top, a);
                pack::pack(top, bits, pack::part_mut(out, &chunk, bits));
            }
        }
    }
}

//! Circuits of AND and XOR over bit planes.

use std::iter;
use std::ops::Range;

use shamisen_net::Party;
use shamisen_ring::bits;

use crate::error::Result;
use crate::session::Session;
use crate::share::Bits;

/// The number of a wire in a [`Circuit`].
pub(crate) type Wire = usize;

/// A circuit that is being evaluated: every wire is a plane of shared bits, numbered as it was made.
pub(crate) struct Circuit {
    /// One plane per wire; its width is the number of wires.
    wires: Bits,
}

impl Circuit {
    /// The planes of `inputs` become the wires 0, 1, ...; `more` wires are expected on top.
    pub(crate) fn new(inputs: Bits, more: usize) -> Self {
        let mut wires = inputs;
        let words = (wires.width + more) * wires.plane_words();
        for component in [&mut wires.mine, &mut wires.next] {
            component.reserve(words);
        }
        Self { wires }
    }

    /// One layer of gates: each output is the XOR over its terms of `x AND y`.
    ///
    /// As an inner product in the ring, over `Z_2`. 1 round, 3 bits an output, however many terms. What party `i`
    /// receives is masked by `F(s_{i+2})`. Returns the new wires, in the order of the outputs.
    pub(crate) fn inner_products(
        &mut self,
        outputs: &[Vec<(Wire, Wire)>],
        session: &mut Session,
    ) -> Result<Range<Wire>> {
        let first = self.wires.width;
        let stride = self.wires.plane_words();
        let (own, next) = session.zero_sharing();
        let Bits { mine: mine_words, next: next_words, .. } = &mut self.wires;
        let old = mine_words.len();
        mine_words.append(outputs.len() * stride);
        next_words.append(outputs.len() * stride);
        let (mine_old, mine_new) = mine_words.split_at_mut(old);
        let plane = |wire: Wire| wire * stride..(wire + 1) * stride;
        for (at, terms) in outputs.iter().enumerate() {
            let out = &mut mine_new[plane(at)];
            own.fill(at * stride, out);
            next.xor_into(at * stride, out);
            for &(x, y) in terms {
                let (x, y) = (plane(x), plane(y));
                bits::and_shares(
                    out,
                    &mine_old[x.clone()],
                    &next_words[x],
                    &mine_old[y.clone()],
                    &next_words[y],
                );
            }
        }
        session.pass_back_into(mine_new, &mut next_words[old..])?;
        self.wires.width += outputs.len();
        Ok(first..self.wires.width)
    }

    /// One AND per pair. 1 round, 3 bits a gate.
    pub(crate) fn and(&mut self, pairs: &[(Wire, Wire)], session: &mut Session) -> Result<Range<Wire>> {
        let outputs: Vec<_> = pairs.iter().map(|&pair| vec![pair]).collect();
        self.inner_products(&outputs, session)
    }

    /// The AND of each group of wires, by trees side by side. ceil(log2(longest)) rounds.
    pub(crate) fn all_of(&mut self, groups: Vec<Vec<Wire>>, session: &mut Session) -> Result<Vec<Wire>> {
        let mut groups = groups;
        while groups.iter().any(|group| group.len() > 1) {
            let pairs: Vec<_> = groups
                .iter()
                .flat_map(|group| group.chunks_exact(2).map(|pair| (pair[0], pair[1])))
                .collect();
            let mut joined = self.and(&pairs, session)?;
            for group in &mut groups {
                // An odd one goes up as it is.
                let odd = group.chunks_exact(2).remainder().to_vec();
                *group = joined.by_ref().take(group.len() / 2).chain(odd).collect();
            }
        }
        Ok(groups.into_iter().flatten().collect())
    }

    /// For each wire, the AND of it and all before it in the list (Sklansky's prefix tree).
    ///
    /// ceil(log2(n)) rounds, `n / 2` ANDs in each.
    pub(crate) fn prefix_and(&mut self, wires: &[Wire], session: &mut Session) -> Result<Vec<Wire>> {
        let mut prefix = wires.to_vec();
        let mut span = 1;
        while span < prefix.len() {
            let uppers: Vec<usize> = upper_halves(prefix.len(), span).collect();
            let pairs: Vec<_> = uppers.iter().map(|&i| (prefix[i], prefix[end_below(i, span)])).collect();
            let joined = self.and(&pairs, session)?;
            for (i, wire) in uppers.into_iter().zip(joined) {
                prefix[i] = wire;
            }
            span *= 2;
        }
        Ok(prefix)
    }

    /// The carry out of each position, from where carries are generated and where they are handed on (Sklansky's
    /// prefix tree): `g = g_hi ^ p_hi g_lo`, `p = p_hi p_lo`. The lowest position needs no `p`.
    ///
    /// ceil(log2(n)) rounds, at most two ANDs for each of `n / 2` positions in each.
    pub(crate) fn carries(
        &mut self,
        generate: &[Wire],
        propagate: &[Wire],
        session: &mut Session,
    ) -> Result<Vec<Wire>> {
        let (mut g, mut p) = (generate.to_vec(), propagate.to_vec());
        let mut span = 1;
        while span < g.len() {
            let uppers: Vec<usize> = upper_halves(g.len(), span).collect();
            // Positions below 2 span then reach down to 0 and need no p any more.
            let rest: Vec<usize> = uppers.iter().copied().filter(|&i| i >= 2 * span).collect();
            let pairs: Vec<_> = iter::chain(
                uppers.iter().map(|&i| (p[i], g[end_below(i, span)])),
                rest.iter().map(|&i| (p[i], p[end_below(i, span)])),
            )
            .collect();
            let mut joined = self.and(&pairs, session)?;
            for i in uppers {
                let handed_on = joined.next().unwrap_or_else(|| unreachable!("a gate for each pair"));
                g[i] = self.xor(&[g[i], handed_on]);
            }
            for (i, wire) in rest.into_iter().zip(joined) {
                p[i] = wire;
            }
            span *= 2;
        }
        Ok(g)
    }

    /// Carries out of a lower and an upper half of the positions, and whether the latter hands on one from below;
    /// `generate` and `propagate` as in [`carries`](Self::carries). Of a single position there is only one.
    ///
    /// Neighbours are joined until two are left. ceil(log2(n)) - 1 rounds, at most 2 ANDs a position.
    pub(crate) fn carry_halves(
        &mut self,
        generate: &[Wire],
        propagate: &[Wire],
        session: &mut Session,
    ) -> Result<Vec<(Wire, Option<Wire>)>> {
        // The lowest position has no p.
        let mut groups: Vec<(Wire, Option<Wire>)> = iter::zip(generate, propagate)
            .enumerate()
            .map(|(at, (&g, &p))| (g, (at > 0).then_some(p)))
            .collect();
        while groups.len() > 2 {
            // An odd one at the bottom goes up as it is.
            let odd = groups.len() % 2;
            let above = groups.split_off(odd);
            let mut gates = Vec::new();
            for pair in above.chunks_exact(2) {
                let ((low_g, low_p), (_, high_p)) = (pair[0], pair[1]);
                let high_p = high_p.unwrap_or_else(|| unreachable!("only the lowest has none"));
                gates.push((high_p, low_g));
                gates.extend(low_p.map(|low_p| (high_p, low_p)));
            }
            let mut joined = self.and(&gates, session)?;
            for pair in above.chunks_exact(2) {
                let handed_on = joined.next().unwrap_or_else(|| unreachable!("a gate for each pair"));
                let p = pair[0].1.and_then(|_| joined.next());
                groups.push((self.xor(&[pair[1].0, handed_on]), p));
            }
        }
        Ok(groups)
    }

    /// The XOR of wires, at least one. Local.
    pub(crate) fn xor(&mut self, wires: &[Wire]) -> Wire {
        let stride = self.wires.plane_words();
        for component in [&mut self.wires.mine, &mut self.wires.next] {
            let old = component.len();
            component.append(stride);
            let (before, sum) = component.split_at_mut(old);
            let plane = |wire: Wire| &before[wire * stride..(wire + 1) * stride];
            sum.copy_from_slice(plane(wires[0]));
            for &wire in &wires[1..] {
                bits::xor_assign(sum, plane(wire));
            }
        }
        self.wires.width += 1;
        self.wires.width - 1
    }

    /// The inverted wire. Local.
    pub(crate) fn not(&mut self, wire: Wire, party: Party) -> Wire {
        let inverted = self.outputs(&[wire]).inverted(party);
        self.wires.push(&inverted);
        self.wires.width - 1
    }

    /// Some wires as bit planes.
    pub(crate) fn outputs(&self, wires: &[Wire]) -> Bits {
        self.wires.select(wires.iter().copied())
    }
}

/// The places of a prefix tree that are joined with a lower one when blocks of `span` become blocks of `2 span`.
fn upper_halves(len: usize, span: usize) -> impl Iterator<Item = usize> {
    (0..len).filter(move |i| i & span != 0)
}

/// The top place of the block below the one in which `i` lies.
fn end_below(i: usize, span: usize) -> usize {
    (i & !(span - 1)) - 1
}

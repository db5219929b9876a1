/* Live migration as a hand-over of a guest that arrives paused.
 *
 * Clauses (libha/doc/models.md, "Migration"): M1 A's table says that it offers the guest to B before
 * libvirt sends anything; M2 B's claim stands, and all claims were read, before its libvirt takes
 * anything in; M3 what arrives at B is run by B alone, and only on A's word `sent` on the volume; M4
 * A writes `sent` once its QEMU is gone, and what was sent has not run on; M5 without that word B
 * ends what has arrived, and then refuses; M6 a third host gets the guest when B has refused or is
 * proved dead AND A has said `sent`, has yielded or is proved dead.
 *
 * libvirt at A stops the processors for the last of the memory; then it ends its QEMU, or, where it
 * does not hear from B, resumes it by itself. Hosts die at any step, proof follows. Tables are
 * registers whose write in flight may be read or not; `af`, `bf` are such writes.
 *
 * Invariants: OneRunner; what arrived is never run once the guest has run elsewhere since (its disk
 * would be newer than its memory).
 *
 * Mutations: UNSENT (A says `sent` while its QEMU exists), ATWHOLE (B runs what has arrived at
 * once), ONDEATH (B runs it on A's death), EARLYREF (B refuses before its QEMU is gone), COLD (B
 * starts it cold), TARGETONLY (a third host by B's end alone), SOURCEONLY (by A's),
 * GOESON (A goes on after it has said `sent`).
 */
mtype = { holds, offered, sent, none, incoming, ready, refused };
mtype a = holds, b = none;              /* on the volume */
mtype af = none, bf = none;             /* in flight; none: nothing */
bit cpu_a = 1, cpu_b, cpu_c;            /* processors running */
bit qemu_b, whole;                      /* B's QEMU exists; all of the memory is there */
bit switched, gone;                     /* A's processors stopped for the last of it; its QEMU ended */
bit newer;                              /* ghost: the guest ran elsewhere since it was sent */
bit a_up = 1, b_up = 1, given;
byte deaths, sends;
#ifndef DEATHS
#define DEATHS 2
#endif

#define SEES_A(x) (a == x || af == x)
#define SEES_B(x) (b == x || bf == x)
#define ONE assert(cpu_a + cpu_b + cpu_c <= 1)
/* B over, and A over, as the volume and the proofs have it */
#define B_OVER (SEES_B(refused) || !b_up)
#define A_OVER (SEES_A(sent) || !a_up)

active proctype A() {
  atomic { a_up -> af = offered }
  atomic { a_up -> a = offered; af = none }
end:
  do
  :: atomic { a_up && a == offered && af == none && !switched && !gone && cpu_a -> af = holds }
#ifdef UNSENT
  :: atomic { a_up && a == offered && af == none && !switched && sends > 0 -> af = sent }
#endif
  :: atomic { a_up && a == offered && af == none && gone -> af = sent }
  :: atomic { a_up && af == holds -> a = holds; af = none; break }
  :: atomic { a_up && af == sent -> a = sent; af = none; break }
  od
#ifdef GOESON
  if
  :: atomic { a_up && a == sent -> cpu_a = 1; newer = 1; ONE }
  fi
#endif
}

/* libvirt of both hosts. B's hook lets nothing in before B is ready. */
active proctype Libvirt() {
end:
  do
  :: atomic { a_up && b_up && a == offered && af == none && b == ready && bf == none && !qemu_b &&
              cpu_a && sends < 2 -> qemu_b = 1; sends++ }
  :: atomic { a_up && b_up && qemu_b && !whole && cpu_a && !switched && a == offered && af == none ->
              cpu_a = 0; switched = 1; whole = 1 }
  :: atomic { a_up && switched && whole && b_up -> switched = 0; gone = 1 }
  :: atomic { a_up && switched -> switched = 0; cpu_a = 1; newer = 1; ONE }
  :: atomic { b_up && qemu_b && !whole && !cpu_b -> qemu_b = 0 }
  od
}

active proctype B() {
  atomic { b_up && SEES_A(offered) -> bf = incoming }
  atomic { b_up -> b = incoming; bf = none }
  atomic { b_up && SEES_A(offered) && a_up -> bf = ready }
  atomic { b_up -> b = ready; bf = none }
end:
  do
  :: atomic { b_up && SEES_A(sent) && whole && qemu_b && !cpu_b -> assert(!newer); cpu_b = 1; ONE }
#ifdef ATWHOLE
  :: atomic { b_up && whole && qemu_b && !cpu_b -> assert(!newer); cpu_b = 1; ONE }
#endif
#ifdef ONDEATH
  :: atomic { b_up && !a_up && whole && qemu_b && !cpu_b -> assert(!newer); cpu_b = 1; ONE }
#endif
#ifdef COLD
  :: atomic { b_up && !cpu_b && b == ready && bf == none -> qemu_b = 1; cpu_b = 1; ONE }
#endif
#ifdef EARLYREF
  :: atomic { b_up && b == ready && bf == none && !cpu_b && (SEES_A(holds) || !a_up) -> bf = refused }
#else
  :: atomic { b_up && b == ready && bf == none && !cpu_b && (SEES_A(holds) || !a_up) ->
              qemu_b = 0; whole = 0; bf = refused }
#endif
  :: atomic { b_up && bf == refused -> b = refused; bf = none;
#ifndef EARLYREF
              break
#endif
            }
  od
}

/* The decider, and the third host that it gives the guest to. */
active proctype C() {
end:
  if
#ifdef TARGETONLY
  :: atomic { B_OVER && !given -> given = 1 }
#elif defined(SOURCEONLY)
  :: atomic { A_OVER && !given -> given = 1 }
#else
  :: atomic { B_OVER && A_OVER && !given -> given = 1 }
#endif
  fi;
  atomic { cpu_c = 1; newer = 1; ONE }
}

active proctype World() {
end:
  do
  :: atomic { a_up && deaths < DEATHS -> deaths++; a_up = 0; cpu_a = 0; switched = 0 }
  :: atomic { b_up && deaths < DEATHS -> deaths++; b_up = 0; cpu_b = 0; qemu_b = 0; whole = 0 }
  od
}

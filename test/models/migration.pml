/* Live migration as a hand-over in two steps: A releasing to B, B claimed-incoming, then holding.
 *
 * Clauses (libha/doc/models.md, "Migration"): M1 A states "releasing to B, generation n+1" before it
 * sends; B's claimed-incoming is acknowledged before its QEMU exists; M2 once A's processors stopped
 * for the switch-over, A resumes only after B's refusal stands on the volume, or B is proved dead and the
 * last of the memory had not been sent: else B may have run and written, and the stopped copy is
 * stale; A ends it and yields; M3
 * B refuses only after its QEMU is gone; M4 B's claimed-incoming is never cold-started; M5 a third
 * host gets the guest only when B has refused or is proved dead AND A has yielded or is proved dead;
 * M6 A ends its stopped QEMU when B holds, then yields.
 *
 * Processors run on A (cpu_a), on B (cpu_b), on the third host C (cpu_c). The network between A and
 * B may fail at any step; hosts die at any step, proof follows. Tables are registers whose write in
 * flight may be read or not; `flight_x` is such a write.
 *
 * Invariants: OneRunner; a copy that resumes has not run elsewhere meanwhile (its disk would be newer
 * than its memory); A ends its guest only when it has run on B.
 *
 * Mutations: TARGETONLY (third host on B's death alone), SOURCEONLY (on A's death alone), RESUME (A
 * resumes when the network fails), COLD (B cold-starts what is incoming), EARLYREF (B refuses before
 * its QEMU is gone), HOLDFIRST (B writes holding before
 * the switch-over), RESUMEB (A resumes on B's death whatever was sent).
 */
mtype = { holds, releasing, yielded, none, incoming, refused };
mtype a = holds, b = none;              /* on the volume */
mtype af = none, bf = none;             /* in flight; none: nothing */
bit cpu_a = 1, cpu_b, cpu_c, qemu_b;    /* processors running; B's QEMU exists */
bit switched;                           /* A stopped its processors for the switch-over */
bit sent;                               /* the last of the memory has reached B */
bit ran_b;                              /* ghost: B's processors ran */
bit net = 1, a_up = 1, b_up = 1, given, c_up = 1;
byte deaths;
#ifndef DEATHS
#define DEATHS 2
#endif

#define SEES_A(x) (a == x || af == x)
#define SEES_B(x) (b == x || bf == x)
#define UNTOUCHED assert(!ran_b)
#define ONE assert(cpu_a + cpu_b + cpu_c <= 1)

active proctype A() {
  atomic { a_up && b == none -> af = releasing }
  atomic { a_up -> a = releasing; af = none }
end:
  do
  :: atomic { a_up && a == releasing && b == incoming && net && qemu_b && cpu_a && !switched ->
       switched = 1; cpu_a = 0 }
  :: atomic { a_up && switched && net && qemu_b && !sent -> sent = 1 }
#ifdef RESUME
  :: atomic { a_up && switched && !net && !cpu_a && a == releasing -> cpu_a = 1; ONE; UNTOUCHED; switched = 0 }
#endif
  /* M2 */
  :: atomic { a_up && switched && !cpu_a && a == releasing && af == none && (SEES_B(refused) || (!b_up && !sent)) ->
       cpu_a = 1; switched = 0; ONE; UNTOUCHED }
#ifdef RESUMEB
  :: atomic { a_up && switched && !cpu_a && a == releasing && !b_up -> cpu_a = 1; switched = 0; ONE; UNTOUCHED }
#else
  /* B died with everything in hand: it may have run. The stopped copy is stale: it is ended. */
  :: atomic { a_up && switched && a == releasing && !b_up && sent && af == none -> af = yielded }
#endif
  :: atomic { a_up && !switched && a == releasing && af == none && (SEES_B(refused) || !b_up) && !given -> a = holds; break }
  :: atomic { a_up && a == releasing && SEES_B(holds) && af == none ->
       assert(ran_b); cpu_a = 0; af = yielded }   /* M6 */
  :: atomic { a_up && af == yielded -> a = yielded; af = none; break }
  od
}

active proctype B() {
  atomic { b_up && SEES_A(releasing) -> bf = incoming }
  atomic { b_up -> b = incoming; bf = none }
  atomic { b_up -> qemu_b = 1 }
end:
  do
  :: atomic { b_up && qemu_b && sent && !cpu_b -> cpu_b = 1; ran_b = 1; ONE }
#ifdef HOLDFIRST
  :: atomic { b_up && qemu_b && bf == none && b == incoming -> bf = holds }
#else
  :: atomic { b_up && cpu_b && bf == none && b == incoming -> bf = holds }
#endif
  :: atomic { b_up && bf == holds -> b = holds; bf = none }
#ifdef EARLYREF
  :: atomic { b_up && b == incoming && bf == none && !cpu_b -> bf = refused }
#else
  /* the migration failed: its QEMU is ended first */
  :: atomic { b_up && b == incoming && bf == none && qemu_b && !cpu_b && (!net || !a_up) -> qemu_b = 0 }
  :: atomic { b_up && b == incoming && bf == none && !qemu_b -> bf = refused }
#endif
  :: atomic { b_up && bf == refused -> b = refused; bf = none; break }
#ifdef COLD
  :: atomic { b_up && b == incoming && !cpu_b && !a_up -> cpu_b = 1; qemu_b = 1; ONE; bf = holds }
#endif
  od
}

/* The decider, and the third host that it gives the guest to. */
active proctype C() {
end:
  if
#ifdef TARGETONLY
  :: atomic { !b_up && !given -> given = 1 }
#elif defined(SOURCEONLY)
  :: atomic { !a_up && !given -> given = 1 }
#else
  :: atomic { (SEES_B(refused) || !b_up) && (SEES_A(yielded) || !a_up) && !given -> given = 1 }   /* M5 */
#endif
  fi;
  atomic { cpu_c = 1; ONE }
}

active proctype World() {
end:
  do
  :: atomic { net -> net = 0 }
  :: atomic { a_up && deaths < DEATHS -> deaths++; a_up = 0; cpu_a = 0 }
  :: atomic { b_up && deaths < DEATHS -> deaths++; b_up = 0; cpu_b = 0; qemu_b = 0 }
  od
}

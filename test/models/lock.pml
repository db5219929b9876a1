/* Domain lock: Disk Paxos on one volume, over versions, with deaths, restarts and RELEASED.
 *
 * Clauses of the rules (libha/doc/models.md, "The lock"):
 *   - phase 1 keeps bal/inp (L4), phase 2, DECIDED apart from the ballot (L6), RELEASED (L8);
 *   - owner and inp are one life of a host's daemon (incarnation, daemon epoch) (L2);
 *   - a takeover needs the owner's life to be over, or RELEASED (L3);
 *   - a new life, or the same one after its keeper restarted, writes nothing before the writes of
 *     the earlier one are settled (L9);
 *   - every pair of the directory is read, dead proposers' too (L5);
 *   - the directory is part of the value; only members of the directory decided with version v
 *     ballot for v+1 (-DDIRCHANGE) (L7).
 *
 * The pair. What a reader sees of an A/B pair is shown by pair.pml to be this: the newest settled
 * write, or the one in flight; readers need not agree while it is in flight, and a write that
 * anybody saw cannot fail to land. So there is no step "land" here: it is any read.
 * -DTWINS: a timed-out write stays in flight while the next one uses the twin.
 *
 * Bounds: N hosts, versions 1..V, ballot numbers up to MAXB, LIVES lives of a host, KREST keeper
 * restarts in all, RELS releases in all, OUTS timeouts in all (TWINS).
 *
 * Invariants: OneOwner (one owner and one directory per version), OneActing, and that the version
 * which an acting owner acts under is not followed by another while it acts.
 *
 * Mutations: ZEROED NOQUAR RESTART ONEPAIR ERASED LATEREL ROB NOEPOCH SKIPDEAD NOABORT NODECCHK
 * DIREARLY DIRNEWONLY.
 */
#ifndef N
#define N 3
#endif
#ifndef V
#define V 2
#endif
#ifndef MAXB
#define MAXB 6
#endif
#ifndef LIVES
#define LIVES 2
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef KREST
#define KREST 0
#endif
#ifndef RELS
#define RELS 0
#endif
#ifndef OUTS
#define OUTS 0
#endif

#define INST(p) (1 + (p) + N * life[p])
#define HOSTOF(i) (((i) - 1) % N)

typedef Rec {
  byte dv;              /* highest known DECIDED version, 0: the formatter's */
  byte down;            /* its owner's life; 0: nobody */
  bit rel;              /* RELEASED */
  bit dd;               /* the directory decided with it */
  byte bv, mbal, bal;   /* the ballot, apart from it */
  byte inp;
  bit idir
};

Rec cur[N];             /* the newest settled write of each pair */
Rec fl[N];              /* the write in flight */
bit flying[N];
bit seen[N];            /* somebody read it: it has landed */
#if defined(TWINS) || defined(NOQUAR) || defined(RESTART)
Rec old[N];             /* an earlier write, still in flight */
bit oldf[N];
#endif

byte chosen[V + 1];     /* ghost: owner decided for each version */
bit chosendir[V + 1];
byte life[N];
bit up[N];
bit over[N * LIVES + 1];  /* a proof about this life exists, or a higher epoch stands in its slot */
byte acting[N];         /* ghost and own memory: the version under which it may act */
byte deaths, krests, rels, outs;
#ifdef DIREARLY
bit hint;               /* a directory block written before the decision */
#endif

#ifdef DIRCHANGE
#define MEMBER(h, d) ((h) == 0 || ((d) == 0 && (h) == 1) || ((d) == 1 && (h) == 2))
#else
#define MEMBER(h, d) 1
#endif

/* Whole records are copied in one step. */
#define FL_W    c_code { now.fl[PHost->p] = PHost->w; }
#define CUR_FL  c_code { now.cur[PHost->p] = now.fl[PHost->p]; }
#define W_CUR   c_code { PHost->w = now.cur[PHost->p]; }
#define R_CUR   c_code { PHost->r = now.cur[PHost->k]; }
#define R_FL    c_code { PHost->r = now.fl[PHost->k]; }
#define R_OLD   c_code { PHost->r = now.old[PHost->k]; }
#define W_R     c_code { PHost->w = PHost->r; }
#define OLD_FL  c_code { now.old[PHost->p] = now.fl[PHost->p]; }
#define CUR_OLD c_code { now.cur[PHost->p] = now.old[PHost->p]; }
#define CURK_OLD c_code { now.cur[PHost->k] = now.old[PHost->k]; }
#define NO_FL   c_code { memset(&now.fl[PHost->p], 0, sizeof now.fl[0]); }
#define NO_OLD  c_code { memset(&now.old[PHost->p], 0, sizeof now.old[0]); }
#define NOK_OLD c_code { memset(&now.old[PHost->k], 0, sizeof now.old[0]); }
#define NO_R    c_code { memset(&PHost->r, 0, sizeof PHost->r); }
#define NO_W    c_code { memset(&PHost->w, 0, sizeof PHost->w); }

inline read_pair() {
  if
  :: R_CUR
  :: flying[k] -> seen[k] = 1; R_FL
#if defined(TWINS)
  :: oldf[k] -> R_OLD
#endif
#if defined(NOQUAR) || defined(RESTART)
  :: oldf[k] -> R_OLD;      /* it has overwritten the newer block */
     CURK_OLD; oldf[k] = 0; NOK_OLD
#endif
  fi
}

inline note_decided() {   /* the highest DECIDED; RELEASED counts from any pair */
  if
  :: r.dv > w.dv -> w.dv = r.dv; w.down = r.down; w.rel = r.rel; w.dd = r.dd
  :: r.dv == w.dv && r.dv > 0 -> assert(r.down == w.down && r.dd == w.dd); w.rel = w.rel | r.rel
  :: else
  fi
}

/* One write in flight; the next one waits for it. */
inline submit() {
  assert(!flying[p]);
  printf("host %d writes: DECIDED %d of %d rel %d, ballot %d: mbal %d bal %d inp %d\n", p, w.dv, w.down, w.rel, w.bv, w.mbal, w.bal, w.inp);
  FL_W; flying[p] = 1; seen[p] = 0
}

inline landed() {
  printf("host %d: acknowledged\n", p); CUR_FL; NO_FL; flying[p] = 0; seen[p] = 0
#ifdef TWINS
  ; oldf[p] = 0; NO_OLD
#endif
}

inline forget() {   /* locals that mean nothing while idle */
  NO_W; NO_R; k = 0; todo = 0; top = 0; bb = 0; bi = 0; bd = 0; b = 0; yes = 0; nv = 0; bad = 0
}

inline scan_one() {
         k = 0; do :: k < N && !(todo & (1 << k)) -> k++ :: else -> break od;
         todo = todo & ~(1 << k);
         if :: k == p -> k = p; R_CUR :: else -> read_pair() fi;
         note_decided();
#if defined(DIRCHANGE) && !defined(DIREARLY)
         if :: k == 2 || w.dd == 0 || r.dv < w.dv :: else -> todo = todo | 4 fi;   /* follow */
#endif
         if
         :: r.bv > top / 16 -> top = r.bv * 16 + r.mbal
         :: r.bv == top / 16 && r.mbal > top % 16 -> top = r.bv * 16 + r.mbal
         :: else
         fi; NO_R
}

proctype Host(byte p) {
  Rec w;                /* what it will write: its own view */
  Rec r;
  byte k, top, bb, bi, b, nv;
  byte todo;            /* bit set: pairs still to be read */
  bit bd, yes, bad;

life_begins:
  /* L9: before anything else, the own earlier writes are certainly settled. */
  atomic {
    if
#ifdef RESTART
    :: flying[p] -> OLD_FL; oldf[p] = 1; flying[p] = 0; NO_FL; seen[p] = 0
#else
    :: flying[p] -> landed()
    :: flying[p] && !seen[p] -> flying[p] = 0; NO_FL
#endif
    :: !flying[p]
    fi
  }
idle:
    atomic { forget() }
end_idle:
    if
    :: atomic { !up[p] -> goto dead }
    :: atomic { up[p] && acting[p] > 0 && rels < RELS ->       /* L8: it stops first, then says so */
         rels++;
#ifndef LATEREL
         acting[p] = 0;
#endif
         W_CUR; w.rel = 1; submit(); goto wait_release }
    :: atomic { up[p] && acting[p] == 0 -> todo = (1 << N) - 1;
#ifdef DIRCHANGE
         todo = 3;        /* the formatted directory; others by following DECIDED */
#ifdef DIREARLY
         if :: hint -> todo = 5 :: else fi;
#endif
#endif
         W_CUR; top = 0 }
#ifdef DIRCHANGE
    :: atomic { up[p] && p == 0 && acting[p] > 0 && acting[p] < V ->   /* L7: the holder, which stays */
         W_CUR; todo = 3; top = 0
#ifdef DIREARLY
         ; hint = 1
#endif
       }
#endif
    fi;

    /* scan: find the highest DECIDED and the ballots that were made. What it finds is only where
     * to begin, since phase 1 reads everything again; so it is one step, unless -DSCANSTEPS. */
#ifdef SCANSTEPS
    do
    :: atomic { !up[p] -> goto dead }
    :: atomic { up[p] && todo > 0 -> scan_one() }
    :: atomic { up[p] && todo == 0 -> break }
    od;
#else
    if
    :: atomic { !up[p] -> goto dead }
    :: atomic { up[p] -> do :: todo > 0 -> scan_one() :: else -> break od }
    fi;
#endif

    if
    :: atomic { !up[p] -> goto dead }
    :: atomic { up[p] ->
      nv = w.dv + 1;
      if
      :: w.dv > 0 && w.rel == 0 &&
#ifdef NOEPOCH
         HOSTOF(w.down) == p
#else
         w.down == INST(p)
#endif
         -> if
            :: acting[p] == 0 && !(cur[p].dv == w.dv && cur[p].rel) ->
               k = p; R_CUR; r.dv = w.dv; r.down = w.down; r.dd = w.dd; r.rel = 0;
               if :: r.bv <= w.dv -> r.bv = 0; r.mbal = 0; r.bal = 0; r.inp = 0; r.idir = 0 :: else fi;
               W_R; NO_R; nv = w.dv; submit(); goto wait_decided
            :: acting[p] > 0 && acting[p] == w.dv
            :: else -> goto idle
            fi
#ifndef ROB
      :: w.dv > 0 && w.rel == 0 && w.down != INST(p) && !over[w.down] -> goto idle   /* L3 */
#endif
      :: else -> if :: acting[p] > 0 -> goto idle :: else fi
      fi;
      yes = MEMBER(p, w.dd);
#ifdef DIREARLY
      if :: hint && p == 2 -> yes = 1 :: else fi;
#endif
      if :: nv > V || !yes -> goto idle :: else fi;
      /* the own number, above all that was seen for this version */
      b = p + 1;
      do :: top / 16 == nv && b <= top % 16 -> b = b + N :: else -> break od;
      if :: b > MAXB -> goto idle :: else fi;
      bb = 0; bi = 0; bd = 0; top = 0;
      if
      :: cur[p].bv == nv -> w.bal = cur[p].bal; w.inp = cur[p].inp; w.idir = cur[p].idir
      :: else -> w.bal = 0; w.inp = 0; w.idir = 0
      fi;
#ifdef ZEROED
      w.bal = 0; w.inp = 0; w.idir = 0;
#endif
#ifdef ERASED
      w.dv = 0; w.down = 0; w.rel = 0; w.dd = 0;
#endif
      w.bv = nv; w.mbal = b;
      submit() }
    fi;

    /* phase 1 */
    if
    :: atomic { !up[p] -> goto dead }
    :: atomic { up[p] -> landed() }
    :: atomic { up[p] && krests < KREST -> krests++; goto life_begins }
#ifdef OUTSON
    :: atomic { up[p] && outs < OUTS && !oldf[p] -> outs++; OLD_FL; oldf[p] = 1;
         flying[p] = 0; NO_FL;
         if :: seen[p] -> CUR_OLD :: else fi; seen[p] = 0; goto idle }
#endif
    fi;
    atomic { todo = ((1 << N) - 1) & ~(1 << p); bad = 0;
#ifdef DIRCHANGE
      todo = (w.dd == 0 -> 3 : 5) & ~(1 << p);
#ifdef DIRNEWONLY
      if :: acting[p] > 0 -> todo = 4 :: else fi;
#endif
#ifdef DIREARLY
      if :: hint -> todo = 5 & ~(1 << p) :: else fi;
#endif
#endif
      bb = w.bal; bi = w.inp; bd = w.idir }
    do
    :: atomic { !up[p] -> goto dead }
    :: atomic { up[p] && todo > 0 ->
         k = 0; do :: k < N && !(todo & (1 << k)) -> k++ :: else -> break od;
         todo = todo & ~(1 << k);
#ifdef SKIPDEAD
         if :: !up[k] -> goto skipped1 :: else fi;
#endif
         read_pair();
         if :: r.bv > nv || (r.bv == nv && r.mbal > b) -> bad = 1 :: else fi;
#ifndef NODECCHK
         if :: r.dv >= nv -> bad = 1 :: else fi;
#endif
         if :: r.bv == nv && r.bal > bb -> bb = r.bal; bi = r.inp; bd = r.idir :: else fi;
         NO_R;
#ifdef SKIPDEAD
skipped1: skip
#endif
       }
    :: atomic { up[p] && bad -> goto idle }
    :: atomic { up[p] && todo == 0 && !bad -> break }
    od;
    if
    :: atomic { !up[p] -> goto dead }
    :: atomic { up[p] ->
      if :: bb == 0 -> bi = INST(p); bd = w.dd
#ifdef DIRCHANGE
                       ; if :: acting[p] > 0 -> bd = 1 :: else fi
#endif
         :: else
      fi;
      w.bal = b; w.inp = bi; w.idir = bd;
      submit() }
    fi;

    /* phase 2 */
    if
    :: atomic { !up[p] -> goto dead }
    :: atomic { up[p] -> landed() }
    :: atomic { up[p] && krests < KREST -> krests++; goto life_begins }
#ifdef OUTSON
    :: atomic { up[p] && outs < OUTS && !oldf[p] -> outs++; OLD_FL; oldf[p] = 1;
         flying[p] = 0; NO_FL;
         if :: seen[p] -> CUR_OLD :: else fi; seen[p] = 0; goto idle }
#endif
    fi;
    atomic { todo = ((1 << N) - 1) & ~(1 << p);
#ifdef DIRCHANGE
      todo = (w.dd == 0 -> 3 : 5) & ~(1 << p);
#ifdef DIRNEWONLY
      if :: acting[p] > 0 -> todo = 4 :: else fi;
#endif
#ifdef DIREARLY
      if :: hint -> todo = 5 & ~(1 << p) :: else fi;
#endif
#endif
      bb = 0; bi = 0; bd = 0 }
    do
    :: atomic { !up[p] -> goto dead }
    :: atomic { up[p] && todo > 0 ->
         k = 0; do :: k < N && !(todo & (1 << k)) -> k++ :: else -> break od;
         todo = todo & ~(1 << k);
#ifdef SKIPDEAD
         if :: !up[k] -> goto skipped2 :: else fi;
#endif
         read_pair();
#ifndef NOABORT
         if :: r.bv > nv || (r.bv == nv && r.mbal > b) -> bad = 1 :: else fi;
#endif
#ifndef NODECCHK
         if :: r.dv >= nv -> bad = 1 :: else fi;
#endif
         NO_R;
#ifdef SKIPDEAD
skipped2: skip
#endif
       }
    :: atomic { up[p] && bad -> goto idle }
    :: atomic { up[p] && todo == 0 && !bad -> break }
    od;

    if
    :: atomic { !up[p] -> goto dead }
    :: atomic { up[p] ->  /* the version is decided */
      assert(chosen[nv] == 0 || (chosen[nv] == w.inp && chosendir[nv] == w.idir));   /* OneOwner */
      printf("host %d: version %d decided: life %d\n", p, nv, w.inp); chosen[nv] = w.inp; chosendir[nv] = w.idir;
      w.dv = nv; w.down = w.inp; w.rel = 0; w.dd = w.idir;
      w.bv = 0; w.mbal = 0; w.bal = 0; w.inp = 0; w.idir = 0;
      submit() }
    fi;
wait_decided:
    if
    :: atomic { !up[p] -> goto dead }
    :: atomic { up[p] -> landed();
         if
#ifdef NOEPOCH
         :: HOSTOF(w.down) == p ->
#else
         :: w.down == INST(p) ->
#endif
            assert(!up[(p + 1) % N] || acting[(p + 1) % N] == 0);           /* OneActing */
#if N > 2
            assert(!up[(p + 2) % N] || acting[(p + 2) % N] == 0);
#endif
            assert(nv == V || chosen[nv + 1] == 0);
            printf("host %d acts under version %d\n", p, nv); acting[p] = nv
         :: else
         fi }
    :: atomic { up[p] && krests < KREST -> krests++; goto life_begins }
    fi;
    goto idle;

wait_release:
    if
    :: atomic { !up[p] -> goto dead }
    :: atomic { up[p] -> landed(); acting[p] = 0 }
    :: atomic { up[p] && krests < KREST -> krests++; goto life_begins }
    fi;
    goto idle

dead:
  atomic { forget() }
end_dead:
  if
  :: atomic { life[p] < LIVES - 1 -> life[p]++; up[p] = 1 }
  fi;
  goto life_begins
}

#ifdef ONEPAIR
/* One pair for two locks: a ballot for the other lock takes this one's place. */
active proctype Other() {
  byte h;
  atomic { select(h : 0 .. N - 1); up[h] && !flying[h] && cur[h].bv > 0 ->
    cur[h].bv = 0; cur[h].mbal = 0; cur[h].bal = 0; cur[h].inp = 0; cur[h].dv = 0; cur[h].down = 0 }
}
#endif

/* A host dies, or its keeper ends its daemon's epoch, between any two steps. */
active proctype Killer() {
  byte h;
end:
  do
  :: atomic { deaths < DEATHS ->
       h = 0; do :: h < N - 1 -> h++ :: break od;
       if :: up[h] :: else -> goto end fi;
       printf("life %d is over\n", INST(h)); deaths++; up[h] = 0; acting[h] = 0; over[INST(h)] = 1; h = 0 }
  od
}

init {
  byte h;
  atomic {
    h = 0;
    do :: h < N -> up[h] = 1; run Host(h); h++ :: else -> break od
  }
}

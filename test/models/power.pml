/* The proof `power-off`: a BMC's word against signs of life.
 *
 * Clauses (libha/doc/models.md, "Power"): two readings off; no sign of life after the first of them was
 * asked; the slot silent; the BMC read on within a poll period before the last sign of life; it has not
 * read off beside a sign of life in this boot, else it is distrusted.
 *
 * Time: ticks. A living host with a path gives a sign in every tick; a sign may be under way for one
 * tick. The BMC is asked every POLL ticks while there are signs, and in any tick afterwards; it answers
 * in the same tick or in a later one, with what it saw when it answered, or not at all (unreachable).
 *
 * Environment: the power is cut at any time. The BMC lies (says off although the host runs) from any
 * time on at which it has still POLL + 1 ticks of signs before every path is lost: a lie that begins
 * with the loss of the last path cannot be told from a power cut.
 *
 * Invariant: EvidenceHonest, DeadMeansStopped: a verdict only about a host without power.
 *
 * Mutations: BESIDE (readings off are counted although signs came after them), NOCRED (no reading on is
 * asked for), NODISTRUST, NOSILENCE (no wait for signs under way), UNREACHABLE (no answer counts as off), ONCE LATELIFE (one reading is enough,
 * and a sign that was under way is forgotten).
 */
#ifndef POLL
#define POLL 2
#endif
#ifdef ONCE
#define NEEDED 1
#else
#define NEEDED 2
#endif
#define FAR 9

bit power = 1;         /* the truth */
bit path = 1;          /* signs arrive */
bit lying;
byte lied = 0;         /* ticks of signs since the lie began */
bit signflight;        /* a sign is under way */
bit asked;             /* a question to the BMC is under way */
byte since_ask;        /* ticks since the last question */
bit lifeafterask;      /* a sign came since the question was asked */
byte offs;             /* readings off without a sign since the first was asked */
byte on_age = FAR;     /* ticks between the last reading on and the last sign */
bit distrusted, dead;
byte off_beside;       /* ticks with signs since the first reading off */

#ifdef BESIDE
#define COUNTS 1
#define AFTER_SIGN offs
#else
#define AFTER_SIGN 0
#ifdef LATELIFE
#define COUNTS 1
#else
#define COUNTS (!lifeafterask)
#endif
#endif
#ifdef NODISTRUST
#define TRUSTED 1
#else
#define TRUSTED (!distrusted)
#endif
#ifdef NOSILENCE
#define SILENT 1
#else
#define SILENT (!signflight)   /* silence that lasts longer than a sign can be under way */
#endif
#ifdef NOCRED
#define CREDIBLE 1
#else
#define CREDIBLE (on_age <= POLL + 1)
#endif

inline sign() {
  lifeafterask = asked;
  offs = AFTER_SIGN;
  if :: off_beside == 1 -> off_beside = 2      /* it may have been under way */
     :: off_beside == 2 -> distrusted = 1
     :: else fi;
  if :: on_age < FAR -> on_age++ :: else fi
}

active proctype Everything() {
  do
  /* a tick */
  :: atomic { !dead && (!path || since_ask < POLL || asked) ->
       if :: since_ask < POLL -> since_ask++ :: else fi;
       if :: signflight -> signflight = 0; sign() :: else fi;
       if
       :: power && path -> sign();
          if :: lying && lied < FAR -> lied++ :: else fi
       :: power && path -> signflight = 1;          /* this one is late */
          if :: lying && lied < FAR -> lied++ :: else fi
       :: else
       fi }
  /* the world */
  :: atomic { power && !dead -> power = 0 }
  :: atomic { power && path && !lying -> lying = 1; lied = 0 }
  :: atomic { power && path && (!lying || lied > POLL + 1) -> path = 0 }
  /* the BMC */
  :: atomic { !dead && !asked && (since_ask >= POLL || !path || !power) ->
       asked = 1; since_ask = 0; lifeafterask = 0 }
  :: atomic { !dead && asked ->                     /* it answers */
       asked = 0;
       if
       :: power && !lying -> offs = 0; off_beside = 0; on_age = 0
       :: else ->
          if :: off_beside == 0 -> off_beside = 1 :: else fi;
          if :: COUNTS && offs < 2 -> offs++ :: else fi
       fi; lifeafterask = 0 }
  :: atomic { !dead && asked ->                     /* it does not */
       asked = 0; lifeafterask = 0;
#ifdef UNREACHABLE
       if :: offs < 2 -> offs++ :: else fi
#endif
     }
  /* the verdict */
  :: atomic { !dead && offs >= NEEDED && TRUSTED && CREDIBLE && SILENT -> dead = 1; assert(!power) }
  od
}

/* The cache's log across a change of master, synchronous, without a partition: 0
   reigns, 1 (the heir of a hand-over) and 2 hold copies. A log is its length, for
   there is one writer until the next one opens. Time is left out: what a timer would
   decide may happen at any moment, but for the one order that timers guarantee: a
   slave stops calling itself surely in step before the master drops it (0.8 of the
   socket timeout after an ack that came back, against a whole one).

   S13: what was acknowledged with a slave in step is in the next master's log, or
        it told that it may not be; then, and later on
   S15: nobody opens below a copy that is alive
   S16: a copy that was pulled from takes nothing more of the old reign

   Mutants: LATE_PUT      the log goes on after it was sealed
            OPEN_BELOW    the heir opens without the end of the log
            NO_BEHIND     what the others hold is not waited for
            NO_MARGIN     a slave may be dropped while it thinks that it is in step
            SURE_SILENT   silence is taken for a proof of death
            NO_PULL_SEAL  a copy that was pulled from goes on
   A rule that this model does not need: a copy seals itself when it votes or hears a claim. */
#ifndef MAX
#define MAX 3           /* records */
#endif
#ifndef CR
#define CR 1            /* slaves that may die */
#endif

#define WORK 0
#define SEALED 1
#define RESIGNED 2

byte n[3];              /* how much each holds */
bool in[3];             /* in step, by the master's list */
bool sure[3];           /* in step, by the slave's own clock */
bool dead[3];
bool shut[3];           /* was pulled from */
byte st;                /* of 0 */
byte end;               /* where 0 sealed its log */
byte acked;             /* the last put that returned, and a slave held */
byte who;               /* opens or reigns next; 0 = nobody yet */
bool proved;            /* its claim: nothing acknowledged can be missing */
bool open;
bool told;              /* it said that something may be missing */
byte crashes;

#define OTHER(i) (3-(i))
#ifdef LATE_PUT
#define WRITES (!dead[0])
#else
#define WRITES (!dead[0] && st==WORK)
#endif
#ifdef NO_PULL_SEAL
#define TAKES(i) (true)
#else
#define TAKES(i) (!shut[i])
#endif
#ifdef NO_MARGIN
#define DROPS(i) (true)
#else
#define DROPS(i) (!sure[i])
#endif
#ifdef SURE_SILENT
#define PROOF(i) (sure[i])
#else
#define PROOF(i) (dead[0] && sure[i])
#endif
#ifdef OPEN_BELOW
#define ENDED(i) (true)
#else
#define ENDED(i) (st!=RESIGNED || n[i]>=end || dead[0])
#endif
#ifdef NO_BEHIND
#define AHEAD(i) (true)
#else
#define AHEAD(i) (dead[OTHER(i)] || n[OTHER(i)]<=n[i])
#endif
/* acknowledged: all that are in step hold it */
#define HELD(k) ((in[1] || in[2]) && (!in[1] || n[1]>=k) && (!in[2] || n[2]>=k))

inline check() {
#ifdef WITNESS          /* reachable: a new master that holds acknowledged records, and says so */
  assert(!open || told || acked==0);
#endif
  assert(!open || told || acked<=n[who])        /* S13 */
}

#define A_COPY(i)  :: d_step { !dead[0] && !dead[i] && who!=i && n[i]<n[0] && TAKES(i) -> assert(!shut[i]); n[i]++; check() }   /* S16 */
#define A_JOIN(i)  :: d_step { WRITES && !dead[i] && !in[i] && n[i]==n[0] && TAKES(i) && who!=i -> in[i]=true }
#define A_ECHO(i)  :: d_step { !dead[0] && in[i] && !dead[i] && !sure[i] -> sure[i]=true }
#define A_AGES(i)  :: d_step { sure[i] && who!=i -> sure[i]=false }
#define A_DROP(i)  :: d_step { !dead[0] && in[i] && DROPS(i) -> in[i]=false }
#define A_DIES(i)  :: d_step { crashes<CR && !dead[i] -> printf("%d dies\n", i); crashes++; dead[i]=true; sure[i]=false }
/* a claim that is won: after a resignation, a proof of death, or silence */
#define A_WINS(i)  :: d_step { who==0 && !dead[i] && (st!=RESIGNED || i==1 || dead[1]) -> who=i; \
                     if :: st==RESIGNED -> proved=(n[i]>=end) :: else -> proved=PROOF(i) fi; printf("%d wins, proved %d\n", i, proved) }
#define A_PULL(i,j) :: d_step { who==i && !open && !dead[i] && !dead[j] && !shut[j] -> shut[j]=true; \
                     if :: n[j]>n[i] -> n[i]=n[j] :: else fi; printf("%d pulls from %d: %d\n", i, j, n[i]) }
#define A_AGAIN(i) :: d_step { who==i && !open && !dead[i] && !dead[OTHER(i)] && n[OTHER(i)]>n[i] -> n[i]=n[OTHER(i)]; shut[OTHER(i)]=true }
#define A_END(i)   :: d_step { who==i && !open && st==RESIGNED && !dead[0] && n[i]<end -> n[i]=end }
#define A_OPEN(i)  :: d_step { who==i && !open && !dead[i] && ENDED(i) && AHEAD(i) -> open=true; \
                     told=!(proved || (st==RESIGNED && n[i]>=end)) ; printf("%d opens at %d, acknowledged %d, told %d\n", i, n[i], acked, told); \
                     OPENS_BELOW(i); assert(dead[OTHER(i)] || n[OTHER(i)]<=n[i]); /* S15 */ check() }
#ifdef OPEN_BELOW
#define OPENS_BELOW(i) if :: st==RESIGNED && i==1 -> told=false :: else fi
#else
#define OPENS_BELOW(i) skip
#endif
#define BOTH(a) a(1) a(2)

init {
  do
  :: d_step { WRITES && n[0]<MAX -> n[0]++ }
  :: d_step { !dead[0] && acked<n[0] && HELD(acked+1) -> acked++; printf("%d is acknowledged\n", acked); check() }
  :: d_step { !dead[0] && st==WORK -> st=SEALED; end=n[0]; printf("sealed at %d\n", end) }
  :: d_step { !dead[0] && st==SEALED -> st=RESIGNED; printf("resigns\n") }    /* the heir holds it, or time is over */
  :: d_step { !dead[0] -> printf("0 dies\n"); dead[0]=true }
  BOTH(A_COPY)
  BOTH(A_JOIN)
  BOTH(A_ECHO)
  BOTH(A_AGES)
  BOTH(A_DROP)
  BOTH(A_DIES)
  BOTH(A_WINS)
  A_PULL(1,2) A_PULL(2,1)
  BOTH(A_AGAIN)
  BOTH(A_END)
  BOTH(A_OPEN)
  od
}

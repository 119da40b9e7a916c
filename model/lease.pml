/* The quorum election of interlok-ha in discrete time, three voters.
   README.md in this folder says what is modelled, what is left out, and how to
   read it. run.sh checks every configuration.

   Sizes:     TP promise, TL lease, EMB restart embargo (ticks); EMAX epochs; CR crashes
   Additions: DUP    links repeat messages
              LATE   requests outlive their lease and still arrive
              DISK   saving is a step of its own, beside the loop
              REEP   a reigning master may ask for a higher epoch in place
              NOSYM  no symmetry reduction (needed by spin -t; six times the states)
   Mutants:   listed in run.sh, one -D each; every one removes one rule */
#define N 3
#ifndef TP
#define TP 2
#endif
#ifndef TL
#define TL 2
#endif
#ifndef EMB
#define EMB TP
#endif
#ifndef EMAX
#define EMAX 2
#endif
#ifndef CR
#define CR 1
#endif

#define SLAVE   0
#define CLAIM   1
#define OPENING 2   /* majority reached, MASTER heartbeats go out, guard still closed */
#define MASTER  3   /* guard open while the lease holds */

/* what a link carries: one packet per direction, a newer one overwrites (= loses) it */
#define REQ  1      /* claim or master heartbeat: asks for a promise */
#define ACK  2      /* the promise, saved, named by the epoch and send time of its request */
#define OREQ 3      /* a request whose sender has crashed since */

#define IX(a,b) ((a)*N+(b))
#define ME(i)   ((i)+1)     /* the running instance of node i */
#define OLD(i)  ((i)+4)     /* the instance of node i that crashed */

byte role[N], ep[N];            /* ep = epoch claimed, or reigned under */
byte prTo[N], prLeft[N];        /* promise: to which instance, ticks left */
byte grEp[N], grTo[N];          /* highest epoch granted, and to whom: saved */
byte emb[N];                    /* embargo left after a restart */
byte rel[N];                    /* WITHDRAW or RESIGN(instance i, every epoch up to this) was sent: for ever in the air */
byte relOld[N];                 /* the same, by the crashed instance */
byte tree[N];                   /* ticks that the crashed instance's work may live on: until its lease ends at the latest */
byte dead[N];                   /* node i crashed once */
byte ack[9];                    /* lease left that j's ack gave to i, counted from the send of the request */
byte qk[9], qe[9], qr[9];       /* packet from i to j: kind, epoch, lease left of its request */
#ifdef REEP
byte ackN[9];                   /* j granted i's new epoch */
#endif
#ifdef DISK
byte dEp[N], dTo[N];            /* what is on disk */
#define CLEAN(i) (dEp[i]==grEp[i] && dTo[i]==grTo[i])
#else
#define CLEAN(i) true
#endif
#ifdef STALE_WITHDRAW
byte wd[N];                     /* some WITHDRAW of this instance is in the air */
#endif
#ifdef STALE_RESIGN
byte rs[N];                     /* some RESIGN of this instance is in the air */
#endif
byte top, crashes;              /* highest epoch any master had */
byte k;

/* the own vote is the own promise: TL ticks of it count */
#define SELF(i)  (prTo[i]==ME(i) && prLeft[i]+TL>TP)
#define CNT(i)   (SELF(i)+(ack[IX(i,(i+1)%3)]>0)+(ack[IX(i,(i+2)%3)]>0))
#define LEASE(i) (CNT(i)>=2)
#define ACT(i)   (role[i]==MASTER && LEASE(i))
#define FREE(i)  (prTo[i]==0)

#define MAY_GRANT(i,x,e) (emb[i]==0 && (FREE(i) || prTo[i]==(x)) && ((e)>grEp[i] || ((e)==grEp[i] && grTo[i]==(x))))

/* ---- symmetry: nodes have no order, so of the six renamings of a state one stands for all ---- */
#ifndef NOSYM
c_code {
  static const unsigned char perms[6][3] = {{0,1,2},{0,2,1},{1,0,2},{1,2,0},{2,0,1},{2,1,0}};
  static unsigned char who(unsigned char v, const unsigned char *p) {
    return v==0 ? 0 : v<=3 ? p[v-1]+1 : p[v-4]+4;
  }
  static void canon(void) {
    unsigned char best[160], cur[160];
    int b, a, p, q, n, w = 0, m = 0;
    for (q = 0; q < 6; q++) {
      const unsigned char *inv = perms[q];   /* inv[new] = old */
      unsigned char to[3];                   /* to[old] = new */
      for (a = 0; a < 3; a++) to[inv[a]] = a;
      n = 0;
      for (a = 0; a < 3; a++) {
        p = inv[a];
        cur[n++]=now.role[p]; cur[n++]=now.ep[p]; cur[n++]=who(now.prTo[p],to); cur[n++]=now.prLeft[p];
        cur[n++]=now.grEp[p]; cur[n++]=who(now.grTo[p],to); cur[n++]=now.emb[p];
        cur[n++]=now.rel[p]; cur[n++]=now.relOld[p]; cur[n++]=now.tree[p]; cur[n++]=now.dead[p];
#ifdef DISK
        cur[n++]=now.dEp[p]; cur[n++]=who(now.dTo[p],to);
#endif
#ifdef STALE_WITHDRAW
        cur[n++]=now.wd[p];
#endif
#ifdef STALE_RESIGN
        cur[n++]=now.rs[p];
#endif
        for (b = 0; b < 3; b++) {
          int x = p*3+inv[b];
          cur[n++]=now.ack[x]; cur[n++]=now.qk[x]; cur[n++]=now.qe[x]; cur[n++]=now.qr[x];
#ifdef REEP
          cur[n++]=now.ackN[x];
#endif
        }
      }
      if (q == 0 || memcmp(cur, best, n) < 0) { memcpy(best, cur, n); w = q; }
    }
    if (w == 0) return;
    m = n; n = 0;
    for (a = 0; a < 3; a++) {
      now.role[a]=best[n++]; now.ep[a]=best[n++]; now.prTo[a]=best[n++]; now.prLeft[a]=best[n++];
      now.grEp[a]=best[n++]; now.grTo[a]=best[n++]; now.emb[a]=best[n++];
      now.rel[a]=best[n++]; now.relOld[a]=best[n++]; now.tree[a]=best[n++]; now.dead[a]=best[n++];
#ifdef DISK
      now.dEp[a]=best[n++]; now.dTo[a]=best[n++];
#endif
#ifdef STALE_WITHDRAW
      now.wd[a]=best[n++];
#endif
#ifdef STALE_RESIGN
      now.rs[a]=best[n++];
#endif
      for (b = 0; b < 3; b++) {
        int x = a*3+b;
        now.ack[x]=best[n++]; now.qk[x]=best[n++]; now.qe[x]=best[n++]; now.qr[x]=best[n++];
#ifdef REEP
        now.ackN[x]=best[n++];
#endif
      }
    }
    if (m != n) abort();
  }
}
#define CANON c_code { canon(); }
#else
#define CANON skip
#endif

/* ---- checks after every step ---- */
#define OPENGUARDS (ACT(0)+ACT(1)+ACT(2)+(tree[0]>0)+(tree[1]>0)+(tree[2]>0))
inline done() {
  assert(OPENGUARDS<=1);                                   /* S1 */
  CANON
}
inline reign(i, e) {
#ifdef ONLY_S1
  if :: e>top -> top=e :: else fi
#else
#ifdef WITNESS
  assert(top==0);                                          /* wanted to fail: a second epoch is reached */
#endif
  assert(e>top); top=e                                     /* S2: unique and growing */
#endif
}

inline clearack(i) {
  ack[IX(i,(i+1)%3)]=0; ack[IX(i,(i+2)%3)]=0;
#ifdef REEP
  ackN[IX(i,(i+1)%3)]=0; ackN[IX(i,(i+2)%3)]=0;
#endif
}
inline clearq(l) { qk[l]=0; qe[l]=0; qr[l]=0 }
inline dec(x) { if :: x>0 -> x--; :: else fi }

/* guard closed, work stopped, log sealed; then RESIGN (or WITHDRAW) for every epoch asked for so far */
inline down(i) {
#ifdef STALE_WITHDRAW
  if :: role[i]==CLAIM || role[i]==OPENING -> wd[i]=1 :: else fi;
#endif
#ifdef STALE_RESIGN
  if :: role[i]==MASTER -> rs[i]=1 :: else fi;
#endif
  if :: role[i]>SLAVE -> rel[i]=grEp[i] :: else fi;
  role[i]=SLAVE; ep[i]=0; clearack(i);
  if :: prTo[i]==ME(i) -> prTo[i]=0; prLeft[i]=0 :: else fi
}

inline claim(i, e) {
  printf("%d claims epoch %d\n", i, e);
  role[i]=CLAIM; ep[i]=e; clearack(i);
  prTo[i]=ME(i); prLeft[i]=TP; grEp[i]=e; grTo[i]=ME(i)
}

inline ask(i, j) {
  printf("%d asks %d (role %d)\n", i, j, role[i]);
  qk[IX(i,j)]=REQ; qr[IX(i,j)]=TL; prLeft[i]=TP;
#ifdef EARLY_CLAIM
  qe[IX(i,j)]=grEp[i]
#else
  if :: CLEAN(i) -> qe[IX(i,j)]=grEp[i] :: else -> qe[IX(i,j)]=ep[i] fi
#endif
}

/* i grants j's request: promise, save, then ack. keep = the link repeats the request later */
inline grant(j, i, x, keep) {
  printf("%d grants epoch %d to %d (instance %d)\n", i, qe[IX(j,i)], j, x);
  if :: role[i]>SLAVE -> down(i) :: else fi;
  prTo[i]=x; prLeft[i]=TP; grEp[i]=qe[IX(j,i)]; grTo[i]=x;
#ifdef EARLY_ACK
  if :: true ->
#else
  if :: CLEAN(i) ->
#endif
     if :: x==ME(j) && qr[IX(j,i)]>0 -> qk[IX(i,j)]=ACK; qe[IX(i,j)]=qe[IX(j,i)]; qr[IX(i,j)]=qr[IX(j,i)] :: else fi;
     if :: keep :: else -> clearq(IX(j,i)) fi
  :: else                       /* not saved yet: the request waits, the ack comes after */
  fi
}

inline take(j, i, keep) {
  printf("%d hears the ack of %d for epoch %d\n", i, j, qe[IX(j,i)]);
#ifdef FROM_RECEIPT
  ack[IX(i,j)]=TL;
#else
  if :: qr[IX(j,i)]>ack[IX(i,j)] -> ack[IX(i,j)]=qr[IX(j,i)] :: else fi;
#endif
#ifdef REEP
  if :: qe[IX(j,i)]>ep[i] -> ackN[IX(i,j)]=1 :: else fi;
#endif
  if :: keep :: else -> clearq(IX(j,i)) fi
}

inline crash(i) {
  printf("node %d crashes (role %d)\n", i, role[i]);
  crashes++; dead[i]=1;
  if :: ACT(i) ->               /* its work lives on until the second best vote's lease ends, or until it is killed */
        tree[i]=ack[IX(i,(i+1)%3)]; k=ack[IX(i,(i+2)%3)];
        if :: k>tree[i] -> tree[i]=k; k=ack[IX(i,(i+1)%3)] :: else fi;
        if :: SELF(i) && prLeft[i]+TL-TP>k -> k=prLeft[i]+TL-TP :: else fi;
        if :: k<tree[i] -> tree[i]=k :: else fi;
        k=0
  :: else fi;
  relOld[i]=rel[i];
  role[i]=SLAVE; ep[i]=0; clearack(i); rel[i]=0;
#ifdef STALE_WITHDRAW
  wd[i]=0;
#endif
#ifdef STALE_RESIGN
  rs[i]=0;
#endif
  prTo[i]=0; prLeft[i]=0; emb[i]=EMB;
#ifdef DISK
  grEp[i]=dEp[i]; grTo[i]=dTo[i];
#endif
#ifdef NO_PERSIST
  grEp[i]=0; grTo[i]=0;
#ifdef DISK
  dEp[i]=0; dTo[i]=0;
#endif
#endif
  do                            /* who named the running instance now names the dead one */
  :: k<3 ->
     if :: prTo[k]==ME(i) -> prTo[k]=OLD(i) :: else fi;
     if :: grTo[k]==ME(i) -> grTo[k]=OLD(i) :: else fi;
#ifdef DISK
     if :: dTo[k]==ME(i) -> dTo[k]=OLD(i) :: else fi;
#endif
     if :: qk[IX(i,k)]==REQ -> qk[IX(i,k)]=OREQ :: else fi;
     if :: qk[IX(k,i)]==ACK -> clearq(IX(k,i)) :: else fi;
     k++
  :: else -> break
  od;
  k=0
}

inline tick() {
  printf("tick\n");
  do
  :: k<9 ->
     dec(ack[k]); dec(qr[k]);
#ifdef LATE
     if :: qr[k]==0 && qk[k]==ACK -> clearq(k) :: else fi;
#else
     if :: qr[k]==0 -> clearq(k) :: else fi;
#endif
     k++
  :: else -> break
  od;
  k=0;
  do
  :: k<3 ->
     dec(prLeft[k]); dec(emb[k]); dec(tree[k]);
     if :: prLeft[k]==0 -> prTo[k]=0 :: else fi;
     k++
  :: else -> break
  od;
  k=0;
  if :: role[0]>SLAVE && CNT(0)==0 -> down(0) :: else fi;
  if :: role[1]>SLAVE && CNT(1)==0 -> down(1) :: else fi;
  if :: role[2]>SLAVE && CNT(2)==0 -> down(2) :: else fi
}

/* May voter v take back its promise to the running instance of i (MINE) or to the dead one (DEADS)?
   A release names (instance, epoch): it frees that instance's promise up to that epoch, no other. */
#if defined(NO_RELEASE)
#define MINE(v,i)  (false)
#elif defined(RESIGN_ANY)
#define MINE(v,i)  (!FREE(v) && rel[i]>0 && rel[i]>=grEp[v])
#elif defined(STALE_RESIGN)
#define MINE(v,i)  (prTo[v]==ME(i) && (rel[i]>=grEp[v] || rs[i]))
#elif defined(STALE_WITHDRAW)
#define MINE(v,i)  (prTo[v]==ME(i) && (rel[i]>=grEp[v] || wd[i]))
#elif defined(OBIT_LIVE)
#define MINE(v,i)  (prTo[v]==ME(i))
#else
#define MINE(v,i)  (prTo[v]==ME(i) && rel[i]>=grEp[v])
#endif
#if defined(NO_OBIT)
#define DEADS(v,i) (false)
#elif defined(OBIT_TREE)   /* told when the node is gone but its work is not */
#define DEADS(v,i) (prTo[v]==OLD(i))
#else
#define DEADS(v,i) (prTo[v]==OLD(i) && (tree[i]==0 || relOld[i]>=grEp[v]))
#endif

#define A_CLAIM(i,e)  :: d_step { role[i]==SLAVE && emb[i]==0 && FREE(i) && grEp[i]<e && e<=EMAX -> claim(i,e); done() }
#ifdef EARLY_CLAIM
#define MAYASK(i)     (role[i]>SLAVE && prTo[i]==ME(i))
#else
#define MAYASK(i)     (role[i]>SLAVE && prTo[i]==ME(i) && (role[i]!=CLAIM || CLEAN(i)))
#endif
#define A_ASK(i,j)    :: d_step { MAYASK(i) -> ask(i,j); done() }
#define A_GRANT(j,i)  :: d_step { qk[IX(j,i)]==REQ && MAY_GRANT(i,ME(j),qe[IX(j,i)]) -> grant(j,i,ME(j),false); done() }
#define A_OGRANT(j,i) :: d_step { qk[IX(j,i)]==OREQ && MAY_GRANT(i,OLD(j),qe[IX(j,i)]) -> grant(j,i,OLD(j),false); done() }
#ifdef STALE_ACK      /* an ack counts whatever epoch it names */
#define MAYTAKE(j,i)  (qk[IX(j,i)]==ACK && role[i]>SLAVE)
#else
#define MAYTAKE(j,i)  (qk[IX(j,i)]==ACK && role[i]>SLAVE && (qe[IX(j,i)]==ep[i] || qe[IX(j,i)]==grEp[i]))
#endif
#define A_TAKE(j,i)   :: d_step { MAYTAKE(j,i) -> take(j,i,false); done() }
#ifdef DUP
#define A_DGRANT(j,i) :: d_step { qk[IX(j,i)]==REQ && MAY_GRANT(i,ME(j),qe[IX(j,i)]) && CLEAN(i) -> grant(j,i,ME(j),true); done() }
#define A_DTAKE(j,i)  :: d_step { MAYTAKE(j,i) -> take(j,i,true); done() }
#else
#define A_DGRANT(j,i)
#define A_DTAKE(j,i)
#endif
#define A_WIN(i)      :: d_step { role[i]==CLAIM && LEASE(i) -> printf("%d opening, epoch %d\n", i, ep[i]); role[i]=OPENING; reign(i,ep[i]); done() }
#ifdef OPEN_FRESH     /* the first lease counts from the end of the barrier */
#define A_OPEN(i)     :: d_step { role[i]==OPENING -> printf("%d opens its guard\n", i); role[i]=MASTER; \
                         if :: ack[IX(i,(i+1)%3)]>0 -> ack[IX(i,(i+1)%3)]=TL :: else fi; \
                         if :: ack[IX(i,(i+2)%3)]>0 -> ack[IX(i,(i+2)%3)]=TL :: else fi; \
                         if :: prTo[i]==ME(i) -> prLeft[i]=TP :: else fi; done() }
#else
#define A_OPEN(i)     :: d_step { role[i]==OPENING && LEASE(i) -> printf("%d opens its guard\n", i); role[i]=MASTER; done() }
#endif
#define A_DOWN(i)     :: d_step { role[i]>SLAVE -> printf("%d closes its guard, stops; release up to epoch %d\n", i, grEp[i]); down(i); done() }
#define A_FREE(v,i)   :: d_step { MINE(v,i) -> printf("%d frees its promise (held by %d) by a release of %d\n", v, prTo[v], i); prTo[v]=0; prLeft[v]=0; done() }
#define A_OBIT(v,i)   :: d_step { DEADS(v,i) -> printf("%d frees its promise to the dead instance of %d\n", v, i); prTo[v]=0; prLeft[v]=0; done() }
#define A_CRASH(i)    :: d_step { crashes<CR && !dead[i] -> crash(i); done() }
#define A_KILLED(i)   :: d_step { tree[i]>0 -> printf("the work left by %d is dead\n", i); tree[i]=0; done() }
#ifdef REEP
#define A_REEP(i,e)   :: d_step { role[i]==MASTER && LEASE(i) && prTo[i]==ME(i) && grEp[i]<e && e<=EMAX -> \
                         printf("%d reigns under %d and asks for epoch %d\n", i, ep[i], e); grEp[i]=e; \
                         ackN[IX(i,(i+1)%3)]=0; ackN[IX(i,(i+2)%3)]=0; done() }
#ifdef REEP_ALONE     /* the new epoch is used before a majority granted it */
#define WON(i)        (true)
#else
#define WON(i)        (ackN[IX(i,(i+1)%3)]+ackN[IX(i,(i+2)%3)]>=1)
#endif
#define A_SWITCH(i)   :: d_step { role[i]==MASTER && grEp[i]>ep[i] && CLEAN(i) && LEASE(i) && WON(i) -> \
                         printf("%d now reigns under %d\n", i, grEp[i]); ep[i]=grEp[i]; \
                         ackN[IX(i,(i+1)%3)]=0; ackN[IX(i,(i+2)%3)]=0; reign(i,ep[i]); done() }
#else
#define A_REEP(i,e)
#define A_SWITCH(i)
#endif
#ifdef DISK
#define A_SAVE(i)     :: d_step { !CLEAN(i) -> printf("%d saved epoch %d for %d\n", i, grEp[i], grTo[i]); dEp[i]=grEp[i]; dTo[i]=grTo[i]; done() }
#else
#define A_SAVE(i)
#endif
#ifdef EMB_END        /* a proposal: the embargo ends when the saved promise is known to be void */
#define VOID(v)       (grTo[v]==0 \
   || (grTo[v]>3 && (tree[grTo[v]-4]==0 || relOld[grTo[v]-4]>=grEp[v])) \
   || (grTo[v]>0 && grTo[v]<=3 && rel[grTo[v]-1]>=grEp[v]))
#define A_EMB(v)      :: d_step { emb[v]>0 && VOID(v) -> printf("%d ends its embargo\n", v); emb[v]=0; done() }
#else
#define A_EMB(v)
#endif
#ifdef RESIGN_OPEN    /* RESIGN goes out, the guard is closed later */
#define A_EARLY(i)    :: d_step { role[i]==MASTER -> printf("%d says RESIGN, guard open\n", i); rel[i]=grEp[i]; done() }
#else
#define A_EARLY(i)
#endif

#define EACH(a)   a(0) a(1) a(2)
#define PAIRS(a)  a(0,1) a(0,2) a(1,0) a(1,2) a(2,0) a(2,1)
#define EPOCHS(a) a(0,1) a(0,2) a(0,3) a(0,4) a(1,1) a(1,2) a(1,3) a(1,4) a(2,1) a(2,2) a(2,3) a(2,4)

init {
  do
  EPOCHS(A_CLAIM)
  PAIRS(A_ASK)
  PAIRS(A_GRANT)
  PAIRS(A_OGRANT)
  PAIRS(A_DGRANT)
  PAIRS(A_TAKE)
  PAIRS(A_DTAKE)
  EACH(A_WIN)
  EACH(A_OPEN)
  EACH(A_DOWN)
  EACH(A_EARLY)
  EACH(A_EMB)
  PAIRS(A_FREE)
  PAIRS(A_OBIT)
  EPOCHS(A_REEP)
  EACH(A_SWITCH)
  EACH(A_SAVE)
  EACH(A_CRASH)
  EACH(A_KILLED)
#ifndef NO_TICK
  :: d_step { true -> tick(); done() }
#endif
  od
}

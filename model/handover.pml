/* A hand-over without a quorum: no votes, so only the heir's short window keeps a
   second master away. Three instances: 0 reigns and hands over to 1; 2 is the
   other slave. Links lose at most LOSS packets in a row and deliver within a tick
   (without such bounds nothing excludes two masters when there is no quorum).
   One tick = W0 = W/3. D = W = 3 ticks; others wait W+2D; T_down = R*D.

   Mutants: SECOND_HEIR  the old master names 2 when it has not heard 1 yet
            RESIGN_OPEN  RESIGN goes out before the guard is closed
            SLOW_NEWS    a new master's second heartbeat comes after D, not W/3
   Rules that this model does not need (it passes without them):
            NO_WAIT      the others claim as soon as they hear RESIGN
            NO_RESTART   the winner of crossed claims does not start its window again */
#define N 3
#ifndef LOSS
#define LOSS 2
#endif
#ifndef D
#define D 3
#endif
#ifndef R
#define R 5
#endif
#define W    D
#ifdef SLOW_NEWS
#define FAST 0
#define NEXT D
#else
#define NEXT 1
#endif
#ifndef FAST
#define FAST W      /* so long a new master repeats its heartbeat each W/3, then each D */
#endif
#define LATER (W+2*D)
#define TDOWN (R*D)

#define SLAVE  0
#define CLAIM  1
#define MASTER 2
#define GONE   3

/* packets: kind, heir (RESIGN only) */
#define HB  1
#define CL  2
#define RES 3

chan q[9] = [8] of { byte, byte };
byte role[N];
byte t[N];          /* slave: ticks until it claims; claimer: ticks until it opens */
byte hb[N];         /* ticks until the next heartbeat or repeated claim */
bool follow[N];     /* still follows instance 0 */
byte lost[9];       /* packets lost in a row */
byte heir;          /* whom 0 named; 0 = none yet */
byte tell;          /* ticks for which 0 repeats its RESIGN */
byte again[N];      /* this claim's window was started again */
bool heard;         /* 0 heard another's claim or heartbeat */
byte died;
#define L(a,b) ((a)*N+(b))
#define GUARDS ((role[0]==MASTER)+(role[1]==MASTER)+(role[2]==MASTER))
#define QUIET (len(q[1])+len(q[2])+len(q[3])+len(q[5])+len(q[6])+len(q[7])==0)

inline say(i, what, who) {
  printf("%d says kind %d heir %d\n",i,what,who);
  assert(len(q[L(i,(i+1)%3)])<8 && len(q[L(i,(i+2)%3)])<8);
  q[L(i,(i+1)%3)]!what,who; q[L(i,(i+2)%3)]!what,who
}
inline begin(i, w) { role[i]=CLAIM; again[i]=0; t[i]=w; hb[i]=1; follow[i]=false; say(i,CL,0) }

/* i hears kind m from j */
inline hear(i, j, m, h) {
  if
  :: role[i]==GONE
  :: role[i]==MASTER && m==CL ->          /* objection, at once */
     assert(len(q[L(i,j)])<8); q[L(i,j)]!HB,0
  :: role[i]==MASTER && m!=CL
  :: role[i]<MASTER && m==HB ->           /* a live master beats any claim */
     role[i]=SLAVE; again[i]=0; t[i]=TDOWN; hb[i]=0; follow[i]=(j==0)
  :: role[i]==SLAVE && m==CL -> follow[i]=false; t[i]=LATER; hb[i]=0
  :: role[i]==CLAIM && m==CL ->           /* one order: the lower wins */
     if :: j<i -> role[i]=SLAVE; again[i]=0; t[i]=LATER; hb[i]=0 :: else ->
        q[L(i,j)]!CL,0;                   /* the winner says so at once, and starts its window again, once */
        if
#ifndef NO_RESTART
        :: again[i]==0 -> again[i]=1; t[i]=W; hb[i]=1
#endif
        :: else
        fi
     fi
  :: role[i]==SLAVE && m==RES && follow[i] ->
     follow[i]=false;
     if
     :: h==i -> begin(i,1)
#ifdef NO_WAIT
     :: else -> begin(i,W)
#else
     :: else -> if :: t[i]<LATER -> t[i]=LATER :: else fi
#endif
     fi
#ifdef SECOND_HEIR
  :: role[i]==SLAVE && m==RES && !follow[i] && h==i -> begin(i,1)
  :: role[i]==SLAVE && m==RES && !follow[i] && h!=i
#else
  :: role[i]==SLAVE && m==RES && !follow[i]
#endif
  :: role[i]==CLAIM && m==RES
  fi;
  if :: i==0 && m!=RES -> heard=true :: else fi
}

#define DELIVER(j,i) \
  :: atomic { len(q[L(j,i)])>0 -> q[L(j,i)]?m,h; lost[L(j,i)]=0; printf("%d hears kind %d from %d (role %d, t %d)\n",i,m,j,role[i],t[i]); hear(i,j,m,h); m=0; h=0; check() } \
  :: atomic { len(q[L(j,i)])>0 && lost[L(j,i)]<LOSS -> q[L(j,i)]?m,h; lost[L(j,i)]++; printf("lost: kind %d from %d to %d\n",m,j,i); m=0; h=0 }
#define DUE(i) \
  :: atomic { role[i]==SLAVE && t[i]==0 -> begin(i,W); check() } \
  :: atomic { role[i]==CLAIM && t[i]==0 && QUIET -> printf("%d opens\n",i); role[i]=MASTER; again[i]=0; hb[i]=NEXT; t[i]=FAST; say(i,HB,0); check() } \
  :: atomic { role[i]==CLAIM && t[i]>0 && hb[i]==0 -> hb[i]=1; say(i,CL,0) } \
  :: atomic { role[i]==MASTER && hb[i]==0 -> hb[i]=(t[i]>0 -> 1 : D); say(i,HB,0) }
#define URGENT(i) ((role[i]<MASTER && t[i]==0) || (role[i]>=CLAIM && role[i]!=GONE && hb[i]==0))
#define TELL (role[0]==SLAVE && heir>0 && tell>0 && hb[0]==0 && !heard)
#define LESS(x) if :: x>0 -> x-- :: else fi

inline check() { assert(GUARDS<=1) }      /* S1 */

init {
  byte m, h;
  atomic {
    role[0]=MASTER; hb[0]=0;
    t[1]=TDOWN; t[2]=TDOWN; follow[1]=true; follow[2]=true
  }
  do
  DELIVER(0,1) DELIVER(0,2) DELIVER(1,0) DELIVER(1,2) DELIVER(2,0) DELIVER(2,1)
  DUE(0) DUE(1) DUE(2)
  :: atomic { role[0]==MASTER && heir==0 && QUIET -> /* hand-over: guard closed, sealed, RESIGN three times */
     heir=1; tell=TDOWN;
#ifndef RESIGN_OPEN
     role[0]=SLAVE; t[0]=LATER; hb[0]=D;
#endif
     say(0,RES,1); say(0,RES,1); say(0,RES,1); check() }
#ifdef RESIGN_OPEN
  :: atomic { role[0]==MASTER && heir==1 -> role[0]=SLAVE; t[0]=LATER; hb[0]=D }
#endif
  :: atomic { TELL -> hb[0]=D; say(0,RES,heir) }
#ifdef SECOND_HEIR
  :: atomic { role[0]==SLAVE && heir==1 && !heard && QUIET -> heir=2; say(0,RES,2); say(0,RES,2); say(0,RES,2) }
#endif
  :: atomic { role[1]!=GONE && heir>0 && died==0 -> printf("1 dies\n"); role[1]=GONE; t[1]=0; hb[1]=0; died=1 }
  :: atomic { QUIET && !URGENT(0) && !URGENT(1) && !URGENT(2) && !TELL ->
     printf("tick\n"); LESS(t[0]); LESS(t[1]); LESS(t[2]); LESS(hb[0]); LESS(hb[1]); LESS(hb[2]); LESS(tell) }
  od
}

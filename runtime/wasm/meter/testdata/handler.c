#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
static char buf[1<<20];
struct kv { char *k; int kl; double v; };
static int cmp(const void*a,const void*b){const struct kv*x=a,*y=b; int n=x->kl<y->kl?x->kl:y->kl; int c=memcmp(x->k,y->k,n); return c?c:x->kl-y->kl;}
int main(){
  size_t n=fread(buf,1,sizeof buf-1,stdin); buf[n]=0;
  struct kv *a=malloc(sizeof *a*4096); int m=0; char*p=buf;
  while(*p){ if(*p=='"'){ char*s=++p; while(*p&&*p!='"'){ if(*p=='\\'&&p[1])p++; p++;} a[m].k=s;a[m].kl=p-s; if(*p)p++; if(*p==':'){a[m].v=strtod(p+1,&p); if(m<4095)m++;} } else p++; }
  qsort(a,m,sizeof *a,cmp);
  uint64_t h=1469598103934665603ull; double sum=0; for(size_t i=0;i<n;i++){h^=(uint8_t)buf[i];h*=1099511628211ull;}
  printf("{\"n\":%d,\"hash\":\"%016llx\",\"keys\":[",m,(unsigned long long)h);
  for(int i=0;i<m;i++){sum+=a[i].v; printf("%s\"%.*s\"",i?",":"",a[i].kl,a[i].k);} printf("],\"sum\":%g}\n",sum); return 0; }

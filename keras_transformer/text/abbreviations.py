"""What `split_sentences` knows of languages: abbreviations and first words.

An entry leaves out the last full stop. A space may follow the other ones: `z.B` stands
for "z.B." and "z. B.". `~str` stands for all words that end so. Words are matched as
written; all but those of SOMETIMES_LAST with a capital too.
"""

# No sentence ends with these: a name or the rest of the sentence follows.
NEVER_LAST = {
    "ar": "أ أ.د د",
    "cs": "atp Bc cca doc Ing JUDr kpt kupř Mgr mj MUDr MVDr např PaedDr PharmDr PhDr "
    "plk popř por prof příp resp RNDr sl srov sv ThDr tj tzn tzv vč",
    "da": "bl.a ca cand d.v.s dvs ekskl evt f.eks fhv frk iflg ift inkl jf jvf m.h.t "
    "mht p.g.a pga sml vedr",
    "de": "abzgl beispielsw betr bez beziehungsw bspw bzw ca d.h d.i dgl.m Dipl "
    "Dipl.-Ing Doz Dr Dr.h.c Dr.h.c.mult Dr.jur Dr.med Dr.phil Dr.rer.nat "
    "einschl evtl exkl Fa Fr Frl geb ggf Hl Hr Hrn i.A i.d.R i.e.S i.H.v i.S.d "
    "i.V i.w.S Ing inkl insb insbes m.a.W m.E m.W Mag mult o.g Priv.-Doz Prof "
    "s.o s.u sog u.U v.a verh vgl wg z.B z.Hd z.T z.Z z.Zt zw zzgl",
    "el": "Αγ αγ βλ δηλ Δρ δρ κ κ.κ κα Καθ καθ π.χ πρβλ",
    "en": "Adm Amb approx Brig ca Capt Cdr cf Cmdr Col Comdr Cpl Cpt Det DR Dr dr Drs "
    "e.g eg excl Fr Ft Gov Hon i.e ie incl Insp Lt Maj Messrs Mmes MR Mr mr MRS "
    "Mrs mrs Ms Mt Mx P.S Ph Pres PROF Prof prof Pvt Rep resp Rev Rt Sen Sgt "
    "Supt viz",
    "es": "aprox Arq Cnel Dr Dra Dres Dª Dña EE Excma Excmo Fr Gral Ilma Ilmo Ing Lic "
    "Mons p.ej Prof Profa Sr Sra Sras Sres Srta Sta Sto Tte",
    "fi": "arkkit esim ks maist nk ns prof t.s toht toim ts vrt",
    "fr": "c.-à-d c.à.d cf càd Dr env Mgr Mlle Mlles MM Mme Mmes p.ex Pr Ste",
    "hi": "कु डॉ प्रो श्री श्रीमती",
    "hu": "Dr dr ifj kb pl prof szt u.i vö özv ún",
    "id": "a.n Bpk d.a dr Dra drg Drs Hj Ir KH Nn Ny Prof Sdr Sdri Tn u.p Yth",
    "it": "ad.es Avv avv ca cfr Col Dott dott Dott.ssa Dr Egr Gent Gent.ma Geom Ing "
    "Mons p.es Prof Prof.ssa Rag Sen Sig sig Sig.na Sig.ra Sigg Spett",
    "nb": "bl.a ca d.v.s dvs ekskl evt f.eks frk ift iht inkl jf mht pga vedr",
    "nl": "a.h.w bijv bv ca cf d.w.z dhr dr drs dwz evt excl i.p.v i.v.m incl ing ir "
    "m.a.w m.b.t m.n mej mevr mr mw n.a.v o.a prof resp t.a.v t.o.v vgl z.g zgn",
    "pl": "bł dr hab im inż kpt ks m.in mgr mjr np pl por prof płk tj tzn tzw ul ww "
    "zob św",
    "pt": "aprox Arq Cel cf Dr Dra Dras Drs Eng Enga Exma Exmo Ilma Ilmo p.ex Prof "
    "Profa Profª Sr Sra Sras Srs Srta Sta Sto",
    "ro": "aprox asist cca conf d-l d-na de.ex dl dna dr dra ing lect prof Sf univ ș.l",
    "ru": "акад бул г-жа г-н гр д-р доц инж канд кап наб напр пер пл подп полк просп "
    "проф св см ср т.е т.к т.н т.наз т.о тов ул ш",
    "sk": "cca doc Ing JUDr Mgr MUDr napr PhDr prof príp resp RNDr sv t.j tj tzv",
    "sv": "bl.a ca d.v.s doc dvs enl exkl f.d fd fr frk inkl jfr m.a.o m.h.a p.g.a "
    "pga prof resp s.k t.ex",
    "th": "กม จ ดร ต ถ นพ บจก บมจ ผศ พญ รศ ศ อ โทร",
    "tr": "Alb Av Bkz bkz Bnb Doç Dr Dt Ecz Gör Hz Müh Op Org Prof Sn Uzm yakl Yb Yrd "
    "örn Öğr",
    "uk": "акад бул вул д-р див доц канд напр п.п пл полк пор пров просп проф св т.зв "
    "ім",
    "vi": "GS PGS Th.S ThS TP Tp TS",
}

# No sentence ends between these and a number.
BEFORE_NUMBERS = {
    "cs": "kap obr ods odst roč s str sv tab č čj čl",
    "da": "afs art bd fig kap kl nr pkt s stk tlf",
    "de": "Abb Abs Anm Art Aufl Bd Bde Hs Jg Kap Lfd Nr Nrn Nrs Rdnr Rn S Std Str str "
    "Tab Tel Ziff ~nr ~pl ~str",
    "el": "άρ άρθρ αρ εικ κεφ παρ σ σελ τηλ τόμ",
    "en": "app art arts bk ch chap cl ed eds Eq eq Ex ext Fig fig Figs figs fn lib n "
    "No no Nos nos Op op p par para pp pt r Ref ref sec sect tel v ver vol vols",
    "es": "art arts cap caps fig figs n.º Nº nº núm núms p pp pág págs párr t tel "
    "tfno tom vol vols",
    "fi": "klo kohta kpl kuv luku nr nro os puh s taul",
    "fr": "al art chap fig n N° n° nº p par pp réf t tél vol éd",
    "hu": "em fej köt o old sz tel ábra",
    "id": "ay bab gbr hal hlm Jl jl no Rp tbl tel",
    "it": "art artt c.c cap fig n nn nº p pag pagg par pp rif sez tav tel vol",
    "nb": "kl nr s",
    "nl": "afb art blz dl fig hfst nr nrs p pag tab tel vol",
    "pl": "art godz nr nry ok par pkt poz rozdz rys s str t tab tel ust",
    "pt": "al art arts cap fig inc n nº núm p par pp pág págs tel vol",
    "ro": "alin art cap fig lit nr p pag pct tel vol",
    "ru": "буд вып гл д илл кв кн оп п пп разд рис с ст стр т табл тел тт",
    "sk": "kap obr ods s str tab č čl",
    "sv": "bd fig kap kl nr s sid st tab tel",
    "tr": "böl c Cilt Md md No no s saat sf ss Tel tel Şek",
    "uk": "буд вип гл кв кн п пп рис розд с ст стор т табл тел",
    "vi": "số tr",
}

# These end a list, and so a sentence where a capital letter follows.
USUALLY_LAST = {
    "cs": "aj apod atd",
    "da": "e.l m.fl mfl o.l osv",
    "de": "etc o.Ä o.ä u.v.a u.v.m u.Ä u.ä usf usw uva uvm",
    "el": "κ.ά κ.λπ κ.τ.λ κλπ κτλ",
    "en": "etc",
    "es": "etc",
    "fi": "jne ym yms ynnä.muuta",
    "fr": "etc",
    "hu": "stb",
    "id": "dkk dll dsb dst",
    "it": "ecc",
    "nb": "m.fl mfl o.l osv",
    "nl": "e.a e.d enz etc",
    "pl": "i.in itd itp",
    "pt": "etc",
    "ro": "etc ş.a ș.a ș.a.m.d",
    "ru": "пр проч т.д т.п",
    "sk": "apod atď",
    "sv": "e.d etc m.fl mfl o.d osv",
    "tr": "vb vd vdl",
    "uk": "т.д т.п тощо ін",
    "vi": "v.v vv",
}

# A sentence may end with these; it does where the next word is one of FIRST_WORDS.
SOMETIMES_LAST = {
    "cs": "a.s hod Kč min mld n.l nám př.n.l s.r.o spol stol tis tř ul",
    "da": "A/S apr aug dec e.Kr f.Kr feb jan jul jun kl kr m.m mia mio mm nov okt sep "
    "str tlf",
    "de": "a.D a.d a.M Abt amtl Apr Aug bzgl Co Dez dgl dt e.V ebd ehem engl Feb ff "
    "frz gez griech Hrsg hrsg Inst Jan Jh Jhd Jhdt Jr Jt Jul Jun jun lat Min "
    "min Mio Mrd Mär n.Chr Nov Okt Pl Präs Sek Sep Sept Std stellv Str str stv "
    "Tsd u.a Univ v.Chr Verl Vors",
    "el": "Α.Ε δισ εκ μ.μ μ.Χ Ο.Ε π.μ π.Χ χλμ",
    "en": "A.D A.M a.m al Ala Apr Apt Ariz Ark Ass'n Assn Assoc Aug Ave avg B.C Bldg "
    "Blvd Bros Calif Cie Co Colo Conn Corp Cos D.C Dec Del Dept Dist Div E.U "
    "Eds Esq et.al Feb Fla Fri ft Ga Gen hr hrs Hwy ibid Ill Inc Ind Int'l Intl "
    "Jan Jr jr Jul Jun Kan Ky La lb lbs Ltd M.D Mar Mass Md Mfg Mgr Mich min "
    "Minn mins misc Miss Mo Mont mph N.C N.D N.H N.J N.M N.Y Nat'l Natl Neb Nev "
    "Nov Oct Okla Ore oz P.M p.m Pa Ph.D Ph.Ds PLC Plc Prod Prop Ptd Pte Pty "
    "R.I Rd Rte S.C S.D Sec sec secs Secy Sep Sept sq Sr sr St Tenn Tex Thu "
    "Thurs Tr Treas Tue Tues U.K U.N U.S U.S.A Univ Va vs Wash Wed Wis Wyo",
    "es": "a.C a.m abr Av Avda Cía d.C depto dic EE.UU ene feb jul jun Ltda máx mín "
    "nov oct p.m prov S.A S.L sep tel Ud Uds Vd Vds",
    "fi": "eaa eKr jaa jKr kk klo milj min mrd Oy Oyj siht vko ym.s",
    "fr": "apr.J.-C av av.J.-C avr bd boul Cie coll déc env févr hab J.-C janv juil "
    "min nov oct S.A s.a Sté tél éd",
    "hu": "aug Bt dec febr i.e i.sz jan júl jún ker Kft kft Kr.e Kr.u krt máj márc "
    "nov Nyrt okt Rt sk szept u.n Zrt ápr",
    "id": "Jl Kab Kec Kel MM Prov PT Tbk tsb",
    "it": "a.C apr Arch d.C dic feb gen giu lug min nov ott P.zza S.n.c S.p.A S.r.l "
    "sett tel V.le",
    "nb": "A/S apr aug des e.Kr f.Kr feb jan jul jun kl kr m.m mill mrd nov okt sep",
    "nl": "a.s apr aug B.V dec feb febr jan jl jr jul jun mld mln mrt n.Chr N.V nov "
    "okt sep sr str v.Chr",
    "pl": "czw godz hr jr mld mln n.e niedz o.o p.n.e pn S.A sp sp.z.o.o sr tys ust "
    "wg wt zł śr",
    "pt": "a.C abr Av Cia d.C dez EUA fev jan jul jun Ltda máx mín nov S.A tel",
    "ro": "a.Chr apr aug bd d.Chr d.Hr dec feb ian iul iun jud mld nov oct S.A S.R.L "
    "str î.Hr",
    "ru": "авг апр в вв г гг ген дек до.н.э др кг км коп мин мкр млн млрд мм н.э нояб "
    "обл окт р-н руб сек сент см ст.ст трлн тыс февр ч чел янв",
    "sk": "a.s hod min mld s.r.o spol tis",
    "sv": "apr aug dec e.Kr f.Kr f.n feb hr jan jul jun kl kr m.m mdkr mdr milj mm "
    "nov o.s.v okt sep st",
    "tr": "A.Ş Apt Ağu Blv Cad Eyl Haz Ltd M.S M.Ö Mah Mar Nis Oca Sk Sok T.C Tem Tic "
    "vs Şti Şub",
    "uk": "берез верес ген грн груд до.н.е жовт квіт коп листоп лют м млн млрд н.е "
    "обл р р-н рр ст січ тис трав хв черв",
}

# Words that sentences often start with, and names after an abbreviation rarely do.
FIRST_WORDS = {
    "cs": "A Ale Ani Avšak Což Dnes Do I Jak Jako Je Jeho Jejich Její Jen Jenže "
    "Jestli Již Jsem Jsou Kde Kdo Když Která Které Který Mezi Na Nad Ne Nebo "
    "Není Od On Ona Oni Pak Po Pod Podle Pokud Potom Pro Proto Protože Proč "
    "Před Přes Při S Se Ta Tak Také Tam Tato Tedy Ten Tento Teprve Teď To Toto "
    "Tu Ty U Už V Ve Však Vše Všichni Z Za Zatímco Ze Že",
    "da": "Af Alle At Da De Dem Den Denne Der Deres Derfor Det Dette Disse Du Efter "
    "En Er Et For Fra Han Hans Har Hendes Her Hun Hvad Hvem Hver Hvis Hvor "
    "Hvordan Hvorfor I Ifølge Ikke Ingen Jeg Kan Man Med Men Mens Mod Ni Nogle "
    "Nu Når Og Også Om På Selv Siden Skal Så Til Under Ved Vi Være",
    "de": "Aber Alle Allerdings Als Also Am An Auch Auf Aus Außerdem Bei Beide Beim "
    "Bereits Bis Da Dabei Dafür Daher Damit Danach Dann Daraus Darum Das Dass "
    "Davon Dazu Dem Den Denn Dennoch Der Deren Des Deshalb Dessen Die Dies "
    "Diese Dieser Dieses Doch Dort Du Durch Ein Eine Einem Einen Einer Eines "
    "Einige Er Es Etwa Euer Für Gegen Gibt Hat Heute Hier Ich Ihm Ihn Ihr Ihre "
    "Im In Ist Ja Jeder Jedoch Jetzt Kein Keine Man Manche Mehr Mein Meine Mit "
    "Nach Nachdem Natürlich Nein Nicht Niemand Noch Nun Nur Ob Obwohl Oder Ohne "
    "Schon Sehr Sein Seine Seit Seitdem Sie Sind So Solche Sondern Sonst Sowohl "
    "Trotz Trotzdem Um Und Uns Unser Unter Viele Vielleicht Vom Von Vor War "
    "Waren Warum Was Weder Wegen Weil Weiter Welche Wenn Wer Wie Wieder Wir "
    "Wird Wo Während Zu Zudem Zum Zur Zwar Zwischen Über",
    "el": "Ένα Ένας Αλλά Αν Ανάμεσα Από Αυτά Αυτές Αυτή Αυτοί Αυτό Αυτός Αφού Για "
    "Γιατί Δεν Εγώ Εδώ Εκεί Εμείς Επίσης Εσύ Η Θα Κάθε Κάποιος Καθώς Και Κατά "
    "Μα Με Μετά Μη Μην Μια Να Ο Οι Ούτε Πάνω Παρά Ποιος Πολλά Πολύ Πού Πριν "
    "Προς Πώς Σαν Σε Στα Στη Στην Στις Στο Στον Στους Σύμφωνα Τα Τη Την Της Τι "
    "Τις Το Τον Του Τους Των Τότε Τώρα Ως Ωστόσο Όλα Όλοι Όμως Όπως Όταν Ώστε",
    "en": "A About Above According Additionally After Again Against Ago All Almost "
    "Also Although Always Among An And Another Any Anyone Anything Are As At Be "
    "Because Before Besides Between Both But By Can Consequently Could Despite "
    "Did Do Does During Each Earlier Either Even Eventually Every Everybody "
    "Everyone Everything Few Finally First For Four From Further Furthermore Go "
    "Had Has Have He Hence Her Here His How However I If In Indeed Instead Into "
    "Is It Its Just Last Later Let Likewise Many Maybe Meanwhile More Moreover "
    "Most Much My Neither Never Nevertheless Next No Nobody None Nor Not "
    "Nothing Now Of Often On Once One Only Or Other Others Our Out Over Perhaps "
    "Please Rather Recently Second See Several She Should Similarly Since So "
    "Some Somebody Someone Sometimes Soon Still Such Than That The Their Then "
    "There Therefore These They This Those Though Three Through Thus To Today "
    "Together Tomorrow Too Two Under Unfortunately Unless Unlike Until Up Upon "
    "Us Very Was We Well Were What When Where Whereas Whether Which While Who "
    "Whose Why Will With Within Without Would Yes Yesterday Yet You Your",
    "es": "A Además Ahora Al Algunas Algunos Allí Ante Antes Aquel Aquella Aquí Así "
    "Aunque Aún Cada Como Con Cual Cuando Cuándo Cómo De Del Desde Después "
    "Donde Durante Dónde El Ella Ellas Ellos En Entonces Entre Era Es Esa Ese "
    "Eso Esta Estas Este Esto Estos Está Fue Había Hace Hacia Hasta Hay Hoy La "
    "Las Le Lo Los Luego Me Mi Mientras Mis Mucho Muchos Muy Más Nada Nadie Ni "
    "No Nos Nosotros Nuestra Nuestro O Otra Otro Otros Para Pero Por Porque "
    "Pues Que Quien Quién Qué Se Según Ser Si Sin Sobre Son Su Sus Sí También "
    "Tampoco Tan Tiene Todo Todos Tras Tu Tú Un Una Unas Unos Usted Y Ya Yo Él",
    "fi": "Ei En He Hän Ihan Ja Jo Joka Jokainen Jos Jotta Kaikki Kaksi Koska Kuin "
    "Kuinka Kuka Kukaan Kun Lisäksi Me Miksi Mikä Milloin Minä Missä Miten "
    "Monet Mutta Muut Myöhemmin Myös Ne Niin No Nyt Näin Nämä Olen Oli On Onko "
    "Sama Samalla Se Sekä Sen Siellä Siihen Siinä Siis Silloin Sinä Sitten Tai "
    "Te Tuo Tuolloin Tämä Tämän Tänään Tässä Tätä Vaikka Vain Vielä Voi Yksi",
    "fr": "A Afin Ainsi Alors Après Au Aucun Aucune Aujourd'hui Aussi Autre Aux Avant "
    "Avec Bien C'est Car Ce Ceci Cela Celle Celui Ces Cet Cette Chaque Chez Ci "
    "Comme Comment D'abord D'autres Dans De Depuis Des Donc Du Déjà Elle Elles "
    "En Encore Enfin Ensuite Entre Est Et Etait Il Ils J'ai Jamais Je L L'on La "
    "Le Les Leur Leurs Lors Lorsque Lui Là Ma Mais Malgré Mes Moi Mon Même N Ne "
    "Ni Non Nos Notre Nous On Or Ou Oui Où Par Parce Parfois Pas Pendant "
    "Personne Peu Peut Plus Plusieurs Pour Pourquoi Pourtant Puis Qu Quand Que "
    "Quel Quelle Quelques Qui Quoi Sa Sans Se Selon Ses Si Son Sont Sous Sur Ta "
    "Tes Toi Ton Tous Tout Toute Toutefois Toutes Très Tu Un Une Vers Voici "
    "Voilà Vos Votre Vous Y À Ça",
    "hu": "A Addig Ahol Aki Akik Akkor Amely Ami Amikor Arra Az Azonban Azt Aztán "
    "Azért Azóta Be Bár De Ebben Egy Ekkor Előtt Erre Ez Ezek Ezen Ezt Ezért Ha "
    "Hogy Hogyan Hol Igen Itt Ki Kik Lehet Ma Meg Mert Mi Mikor Minden Mindenki "
    "Mint Mit Miért Most Már Míg Nem Nincs Ott Pedig S Se Sem Senki Sok Szerint "
    "Te Több Után Vagy Van Volt Ám Én És Így Úgy Ő Ők",
    "id": "Ada Adalah Agar Akan Aku Anda Apa Apakah Bagaimana Bagi Bahkan Bahwa "
    "Banyak Beberapa Belum Berapa Bila Bukan Dalam Dan Dari Demikian Dengan Di "
    "Dia Hal Hanya Hari Ia Ini Itu Jadi Jika Juga Kalau Kami Kapan Karena Ke "
    "Kemudian Kepada Ketika Kini Kita Kota Lalu Maka Masih Melalui Mengapa "
    "Menurut Mereka Meski Meskipun Namun Oleh Pada Para Saat Saya Sebagai "
    "Sebelum Sebuah Sedangkan Sehingga Sejak Sekarang Selain Selama Seluruh "
    "Semua Seorang Seperti Serta Setelah Setiap Siapa Suatu Sudah Tapi Telah "
    "Tentang Ternyata Tetapi Tidak Untuk Walaupun Yang",
    "it": "A Ad Ai Al Alcuni All Alla Alle Allora Anche Ancora Bisogna Che Chi Ci Ciò "
    "Col Come Con Cosa Così Da Dal Dalla De Dei Del Della Delle Di Dopo Dove "
    "Due Dunque Durante E Ecco Ed Egli Era Essa Essi Esso Fra Fu Già Gli Ha "
    "Hanno Ho I Ieri Il In Infatti Infine Inoltre Invece Io L La Le Lei Li Lo "
    "Loro Lui Ma Mentre Mi Mia Mio Molti Molto Ne Negli Nei Nel Nella Nelle "
    "Nessuno Niente Noi Non Nostra Nostro Nulla O Oggi Ogni Ora Per Perché "
    "Perciò Però Più Poi Poiché Prima Quale Quali Quando Quanto Quasi Quella "
    "Quello Questa Queste Questi Questo Qui Quindi Se Secondo Sempre Senza Si "
    "Sia Sin Solo Sono Sotto Su Sua Sue Sui Sul Sulla Suo Suoi Sì Tra Tutta "
    "Tutte Tutti Tutto Un Una Uno Va Vi Voi È",
    "nb": "Alle At Av Både Da De Den Denne Der Deres Derfor Det Dette Disse Du Eller "
    "En Er Et Etter For Fordi Fra Før Han Hans Har Hennes Her Hun Hva Hvem Hver "
    "Hvis Hvor Hvordan Hvorfor I Ifølge Ikke Ingen Jeg Kan Man Mange Med Men "
    "Mens Mot Noen Nå Når Og Også Om På Selv Siden Skal Så Til Under Uten Ved "
    "Vi Være",
    "nl": "Aan Achter Af Al Alle Als Altijd Ben Bij Binnen Bovendien Daar Daarna "
    "Daarom Dan Dat De Deze Die Dit Doch Door Dus Echter Een Elk Elke En Er Eén "
    "Geen Gisteren Haar Had Heb Hebben Heeft Het Hier Hij Hoe Hun Iedereen Ik "
    "In Is Ja Je Jij Jullie Kan Maar Men Met Mijn Misschien Morgen Na Naar "
    "Naast Nadat Nee Niemand Niet Nog Nu Of Om Omdat Ondanks Onder Ons Ook Op "
    "Over Sinds Sommige Te Ten Tenslotte Terwijl Tijdens Toch Toen Tot Tussen "
    "Uit Van Vandaag Veel Volgens Voor Waar Waarom Wanneer Want Was Wat We Weer "
    "Wel Welke Wie Wij Wil Ze Zij Zijn Zo Zoals Zonder",
    "pl": "A Aby Albo Ale Ani Aż Bez Bo Być Był Była Było Były Chociaż Co Czy Czym "
    "Dla Dlaczego Dlatego Do Dziś Gdy Gdyby Gdzie I Ich Ile Im Inne Ja Jak Jaki "
    "Jako Je Jednak Jego Jej Jest Jestem Jeśli Jeżeli Już Każdy Kiedy Kto Która "
    "Które Który Lecz Lub Ma Mam Mimo Może Można My Mój Na Nad Nasz Natomiast "
    "Nic Nie Nigdy Nikt O Obecnie Od On Ona One Oni Ono Oto Po Pod Podczas "
    "Ponieważ Potem Poza Przed Przez Przy Się Skąd Są Ta Tak Także Tam Te Tego "
    "Ten Teraz Też To Trzeba Tu Tutaj Twój Ty Tylko Tym U W Wczoraj We Według "
    "Więc Wszyscy Wszystkie Wszystko Wtedy Z Za Zawsze Zaś Ze Że Żeby",
    "pt": "A Afinal Agora Ainda Algumas Alguns Além Antes Ao Aos Apesar Após Aquela "
    "Aquele Aqui As Assim Até Cada Com Como Conforme Contudo Da Das De Depois "
    "Desde Do Dos Durante E Ela Elas Ele Eles Em Embora Enquanto Entre Então "
    "Era Essa Esse Esta Este Está Eu Foi Hoje Há Isso Isto Já Logo Lá Mais Mas "
    "Me Mesmo Meu Minha Muito Muitos Na Nada Nas Nem Nenhum Ninguém No Nos "
    "Nossa Nosso Num Numa Não Nós O Onde Ontem Os Ou Outra Outro Outros Para "
    "Pela Pelo Pois Por Porque Portanto Porém Qual Qualquer Quando Quanto Quase "
    "Que Quem Se Segundo Sem Sempre Sendo Ser Seu Seus Sob Sobre Sua Suas São "
    "Só Também Tem Todas Todo Todos Tu Tudo Um Uma Você Vocês Às É",
    "ro": "A Acea Aceasta Această Acest Acesta Aceste Aceștia Acolo Acum Ai Aici Al "
    "Am Apoi Ar Are Asta Astfel Astăzi Atunci Au Avem Ca Care Ce Cel Cine Cu "
    "Cum Când Cât Câteva Că Da Dacă Dar De Deci Deși Din După Ea Ei El Ele Era "
    "Este Eu Fiecare Fără Iar Ieri La Le Lui Mulți Nimeni Nimic Noi Nu O Ori Pe "
    "Pentru Prin Până Sau Se Sub Sunt Toate Toată Tot Totuși Toți Tu Un Unde "
    "Unii Unul Va Voi În Înainte Încă Însă Între Și",
    "ru": "А Без Был Была Были Было В Ваш Ведь Весь Во Возможно Вот Впрочем Все Всё "
    "Вы Где Да Даже Для До Его Ее Если Есть Еще Ещё Её Же За Затем Здесь И Из "
    "Или Им Именно Иногда Итак Их К Каждый Как Какой Когда Который Кроме Кто "
    "Куда Лишь Между Меня Мне Многие Может Можно Мой Моя Мы На Над Например Наш "
    "Не Него Нельзя Несмотря Нет Ни Никто Ничего Но Ну О Об Однако Он Она Они "
    "Оно Опять От Очень Перед По Под После Потом Потому Почему При Про Просто "
    "Пусть С Сам Свой Себя Сегодня Сейчас Сначала Снова Со Согласно Среди Так "
    "Также Там Твой Те Тем Теперь То Тогда Тоже Только Тот Ты У Уже Хотя Чем "
    "Через Что Чтобы Эта Эти Это Этот Я",
    "sk": "A Aj Ak Ako Ale Ani Až Bol Bola Boli Bolo Byť Dnes Do Ešte Hoci I Ich Ja "
    "Je Jeho Jej Kde Keď Kto Ktorý Lebo Len Medzi My Má Na Nad Nie O Od On Ona "
    "Oni Po Pod Podľa Potom Pre Preto Prečo Pri S Sa Sme Sú Ta Tak Taký Tam Ten "
    "Tento Teraz To Toto Tu Ty Táto U Už V Vo Všetko Z Za Zo Či Čo Že",
    "sv": "Alla Allt Att Av Bara Bland Både De Dem Den Denna Deras Dess Dessa "
    "Dessutom Det Detta Du Där Därför Då Efter Eftersom En Enligt Er Ett Finns "
    "Flera Från För Före Genom Ha Han Hans Har Hennes Hit Hon Hur Hör I Idag "
    "Igår Ingen Ingenting Innan Inte Ja Jag Kan Kanske Man Med Medan Mellan Men "
    "Min Mina Mot Många Nej Ni Nu När Någon Och Också Om Oss På Samma Sedan "
    "Sina Själv Ska Snart Som Står Så Sådan Till Trots Under Upp Utan Vad Var "
    "Varför Varje Vem Vi Vid Vilka Vilken Är Även Över",
    "tr": "Acaba Ama Ancak Artık Aynı Ayrıca Bana Bazı Bazıları Belki Ben Beni Benim "
    "Bir Birçok Biz Bu Bugün Bunlar Bunu Bunun Burada Böyle Böylece Bütün Da "
    "Daha De Değil Dün En Evet Eğer Fakat Gibi Hangi Hatta Hayır Hem Henüz Hep "
    "Her Herkes Hiç Hiçbir İki İlk İse İçin İşte Kaç Kendi Kim Kimse Lütfen "
    "Nasıl Ne Neden Nerede O Olan Onlar Onun Orada Oysa Peki Sadece Sana Sen "
    "Siz Son Sonra Sonuç Tabii Tüm Ve Veya Ya Yani Yeni Yine Yok Zaten Çok "
    "Çünkü Önce Öyle Üç Şey Şimdi Şu",
    "uk": "А Але Без Бо Був Була Були Було В Ваш Вже Ви Вона Вони Воно Все Втім Від "
    "Він Де Для До З За Завжди Зараз Звичайно Зі Й Його Йому Кожен Коли Мені Ми "
    "Моя Між Мій На Навіть Над Наприклад Нас Наш Не Нема Немає Ні Ніхто Нічого "
    "О Об Однак Ось По Потім Про Просто Проте Під Після Саме Свій Сьогодні Так "
    "Також Там Те Тепер Ти Тим То Тоді Той Тому Треба Ту Тільки У Усі Хоча Хто "
    "Це Цей Ця Ці Через Чи Чому Ще Що Щоб Я Як Який Якщо Є І Із Інколи Інші Їх "
    "Її",
    "vi": "Ai Anh Bà Bây Bạn Bởi Cho Chúng Chị Con Cuối Các Cái Còn Có Cô Cũng Của Do "
    "Em Hai Hiện Hãy Hôm Họ Khi Không Mặc Mọi Mỗi Một Ngày Người Nhiều Nhưng "
    "Những Nên Nó Nếu Qua Rất Rồi Sau Sẽ Số Theo Thì Trong Trên Trước Tuy Tôi "
    "Tại Tất Từ Việc Và Vào Vì Vẫn Về Với Ông Đang Đây Đã Đó Đến Để Ở",
}

# First words that are parts of names too: "J. De Niro", "F. La Guardia".
NAME_PARTS = "A D Da De Del Den Der Des Di Do Dos Du E El Im La Las Le Los Van Von Y"

# Before an ordinal number, which a full stop follows: "am 3. Mai", "im 2. Stock".
BEFORE_ORDINALS = (
    "ab am beim das dem den der des die ein eine einem einen einer erst im jeden "
    "nach seit und vom vor zum zur zwischen"
)

# Frequent words of languages that write no full stop after an ordinal number.
NO_ORDINALS = (
    "the of and has are were been this that from with que est les une una los las "
    "del della che não uma het een và của yang dan"
)

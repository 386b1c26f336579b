/* The words that a name of a structure may consist of: anatomy and findings, sides and places,
 * volumes of radiotherapy (TG-263), shapes and test objects. No word is here that is mostly a name
 * of people. */
#include "io/structure_words.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { WORDS_MAX = 12, WORD = 40, PHRASE = 3, DIGITS_MAX = 3, HASH_MIN = 32 };

/* Each entry between commas; one of several words has a blank between two. */
static const char known[] =
    ",abdomen,abdominal,abducens,aberrant,abscess,ac,accessory,acetabulum,acinus,adenoma,"
    "adenopathy,adipose,adjacent,adrenal,adrenals,air,airway,airways,all,amygdala,anal,"
    "anastomosis,and,aneurysm,ankle,annulus,ant,anterior,anterior horn,antrum,anus,aorta,"
    "aortic,apex,apical,appendage,appendix,arch,area,arm,arms,artefact,artefacts,arteria,"
    "arterial,arteries,artery,articular,artifact,artifacts,artnd,asc,ascending,atelectasis,"
    "atlas,atria,atrial,atrialappendage,atrium,auricle,autochthon,axilla,axillary,axis,azygos,"
    "bag,basal,base,basilar,bazo,bg,biceps,bifurcation,bil,bilateral,bile,biliary,bladder,"
    "blase,blastic,bleed,bleeding,blob,block,blood,body,bolus,bone,bones,bony,boost,border,"
    "bowel,bowelbag,bowelspace,box,brachial,brachiocephalic,brachiocephalicvein,brachium,brain,"
    "brainstem,branch,breast,breasts,bronch,bronchi,bronchial,bronchus,bst,buccal,bulb,bursa,c,"
    "caecum,calcaneus,calcification,calcifications,calcified,calf,canal,capsule,cardia,cardiac,"
    "carina,carotid,carpal,cartilage,cartilages,catheter,cauda,caudal,caudate,cava,cavity,"
    "cavityoral,ccrcc,cecum,celiac,central,cerebellar,cerebellum,cerebral,"
    "cerebral white matter,cerebrum,cerveau,cervical,cervicalis,cervix,chamber,chest,chiasm,"
    "chin,choroid,circle,circumflex,clav,clavicle,clavicles,clavicula,clinical,clip,clips,clot,"
    "cochlea,cochleae,coeliac,coeur,collarbone,collateral,collection,colon,column,columna,comb,"
    "common,complete,condyle,cone,consolidation,constrictor,contour,contra,contralateral,"
    "contrast,copd,corazon,cord,core,cornea,coronary,corpus,cortex,cortical,costa,costal,"
    "costalcartilages,couch,covid,cranial,cranium,cricoid,cricopharyngeus,crown,csf,ctv,ctvn,"
    "ctvp,ctvt,cube,cuneiform,curvature,cylinder,cyst,cystic,cysts,darm,deep,deltoid,dens,"
    "dense,desc,descending,device,diaphragm,diaphysis,dilated,disc,discs,disk,disks,dist,"
    "distal,dorsal,duct,ductus,duodenum,dura,ear,ears,edema,effusion,elbow,electrode,"
    "electrodes,embolism,emphysema,endocardium,endometrium,endplate,endplates,enhancing,"
    "epicardial,epididymis,epidural,epiglottis,esophagus,estomac,ethmoid,evaluation,expiratory,"
    "ext,external,extra,eye,eyeball,eyes,face,facial,falx,fascia,fat,fatty,female,femora,"
    "femoral,femur,femurs,fetus,fg,fibroid,fibrosis,fibula,fibulae,fiducial,fiducials,finger,"
    "fingers,fissure,flexure,fluid,foie,foot,foramen,forearm,foreground,fossa,fourth,fracture,"
    "fractures,frontal,full,fundus,gall,gall stone,gall stones,gallbladder,galle,gallenblase,"
    "gallstone,ganglia,gastric,gehirn,ggo,gist,gland,glands,glandula,glandular,glass,glnd,"
    "globe,glottis,gluteal,gluteus,gluteusmaximus,gracilis,graft,gray matter,great,"
    "great vessel,grey matter,gross,ground,ground glass,gtv,gtvn,gtvp,gtvs,gtvt,gy,haematoma,"
    "haemorrhage,hamstring,hand,hands,hard,harnblase,hcc,head,heads,heart,hematoma,hemisphere,"
    "hemorrhage,hepar,hepatic,hepaticvein,hepaticvessel,hepaticvessels,hernia,herniation,herz,"
    "higado,high,hilar,hilum,hip,hippocampi,hippocampus,hips,hollow,honeycomb,hr,hrctv,hueso,"
    "humeri,humerus,hyoid,hypopharynx,hypophysis,hypothalamus,ictv,icv,igtv,ileum,iliac,"
    "iliacus,iliolumbar,iliopsoas,ilium,implant,in,incisor,inf,infarct,infarction,infection,"
    "inferior,infiltrate,inflammation,inguinal,inner,inspiration,inspiratory,insula,int,"
    "intercostal,intermedius,interna,internal,interventricular,intervertebral,intestinal,"
    "intestine,intestines,intracranial,intramuscular,intraparenchymal,intraventricular,"
    "invasion,ipsi,ipsilateral,ir,iris,ischemia,ischium,island,isthmus,itv,iv,ivc,jaw,jejunum,"
    "joint,joints,jugular,kidney,kidney stone,kidney stones,kidneys,knee,knochen,l,la,label,"
    "labels,lacrimal,lad,large,largebowel,laryngeal,larynx,lat,lateral,latissimus,lav,lca,"
    "leaflet,leber,left,leg,legs,lens,lenses,lesion,lesions,lesser,level,lien,lienis,ligament,"
    "ligaments,limb,limbs,lingula,lips,liver,ln,lnn,lobe,lobes,lobus,longus,lower,lt,lumbalis,"
    "lumbar,lumen,lung,lunge,lungen,lungs,lv,lymph,lymphatic,lymphoma,lytic,magen,magnum,major,"
    "male,malignant,malleolus,mamma,mammae,mammary,mandible,mandibula,margin,marker,markers,"
    "marrow,mask,mass,masses,masseter,maxilla,maxillary,maximus,meatus,med,medial,median,"
    "mediastinal,mediastinum,medius,medulla,medullary,meninges,meningioma,meniscus,mesenteric,"
    "mesentery,mesorectum,met,metacarpal,metal,metastases,metastasis,metatarsal,mets,mid,"
    "middle,milz,minimus,minor,minus,mitral,molar,mouth,musc,muscle,muscles,musculus,"
    "myocardial,myocardium,myoma,n,nasal,nasopharynx,navicular,neck,necrosis,necrotic,needle,"
    "nephric,nerve,nerves,nervus,niere,nieren,nipple,nodal,node,nodes,nodule,nodules,nodulus,"
    "noncalcified,normal,nose,nostril,nrv,nsclc,nucleus,oar,oars,object,oblique,oblongata,"
    "occipital,oedema,oesophagus,of,omentum,one,opacity,opaque,open,opt,optic,opticnrv,or,oral,"
    "oralcavity,orbit,orbita,orbital,organ,organs,oropharynx,osteophyte,other,others,outer,"
    "outline,outside,ovarian,ovaries,ovary,p,pacemaker,palate,palatine,pancreas,pancreatic,"
    "pancreaticduct,pancreatitis,papillary,paraaortic,paracolic,parametrium,paranasal,"
    "parathyroid,parenchyma,parenchymal,parietal,parotid,parotidl,parotids,parotis,part,"
    "partial,patella,patellae,pdac,pectoral,pectoralis,pedicle,pelvic,pelvis,penis,perfusion,"
    "pericardial,pericardium,perineum,peripheral,peritoneal,peritoneum,peroneal,petrous,"
    "phalanges,phalanx,phantom,pharyngeal,pharynx,pharynxconst,phrenic,pineal,piriformis,"
    "pituitary,plane,planning,plaque,plate,pleura,pleural,plexus,plus,pneumonia,pneumothorax,"
    "point,polyp,pons,popliteal,porta,portal,portalvein,portion,post,posterior,posterior horn,"
    "pouch,poumon,poumons,prim,primary,process,prostata,prostate,prostatebed,prosthesis,prox,"
    "proximal,prv,pseudocyst,psoas,ptv,ptvn,ptvp,ptvt,pubic,pubis,pulmo,pulmon,pulmonalis,"
    "pulmonary,pulmonaryartery,pulmonaryvein,pulposus,pus,putamen,pylorus,pyramid,quadrant,"
    "quadratus,quadriceps,r,ra,radii,radius,ramus,rca,rcc,rec,rectal,rectum,rectus,recurrence,"
    "reference,region,rein,reins,ren,renal,replaced,resection,residual,respiratory,retina,"
    "retro,retroperitoneal,rib,rib cage,ribs,right,rind,ring,rinon,roi,roof,root,round,rt,rv,s,"
    "sac,sacral,sacroiliac,sacrum,saphenous,sartorius,scalene,scalp,scapula,scapulae,scar,"
    "sciatic,sclc,sclera,sclerotic,screw,scrotum,second,section,segment,segments,sella,seminal,"
    "septal,septum,serratus,seventh,shaft,shape,shell,shoulder,shoulders,shunt,sigmoid,sinus,"
    "sinuses,sixth,skeletal,skeleton,skin,skull,small,smallbowel,soft,solid,space,spared,"
    "spermatic,sphenoid,sphere,sphincter,spiculated,spinal,spinalcord,spine,spinous,spleen,"
    "splenic,splenicvein,spongiosa,spot,stent,sternal,sternocleidomastoid,sternum,stomach,"
    "strap,stroma,structure,subarachnoid,subclavian,subcutaneous,subdural,sublingual,"
    "sublingualis,submandibular,submandibularis,submandibulars,subthalamic,sulcus,sup,"
    "superficial,superior,superiorvenacava,supra,supraclavicular,suprarenal,surface,suture,svc,"
    "symphysis,synovium,system,systemic,t,table,tail,talus,target,tarsal,tectum,teeth,temporal,"
    "temporalis,tendon,tendons,testes,testicle,testicles,testis,thalami,thalamus,the,thigh,"
    "third,thoracalis,thoracic,thorax,throat,thrombus,thymus,thyroid,tibia,tibiae,tissue,toe,"
    "toes,tongue,tonsil,tonsils,tooth,torso,total,trachea,tract,transplant,transversal,"
    "transverse,trapezius,triceps,tricuspid,trigone,truncus,trunk,tube,tuberosity,tubes,tumor,"
    "tumors,tumour,tumours,turbinate,two,tympanic,ulcer,ulna,ulnae,umbilical,union,unspecified,"
    "upper,ureter,ureteral,ureters,urethra,urinary,uterine,uterus,uvula,vagina,vaginal,vagus,"
    "valve,valves,vas,vascular,vastus,vein,veins,vena,vena cava,venae,venous,ventral,ventricle,"
    "ventricles,ventricular,ventricularmyocardium,vermis,vert,vertebra,vertebrae,vertebral,"
    "verts,vesica,vesicle,vesicles,vesicula,vessel,vessels,vessie,vestibular,visceral,vitreous,"
    "vocal,void,volume,vulva,wall,water,white matter,whole,windpipe,wire,with,without,wound,"
    "wrist,xiphoid,zone,zygoma,zygomatic,";

static bool is_word(const char *word) {
    char entry[PHRASE * (WORD + 1) + 2];
    snprintf(entry, sizeof entry, ",%s,", word);
    return strstr(known, entry) != NULL;
}

/* A text cut into words in lower case. A word is letters or digits; other characters of
 * punctuation, a change between the two, and a capital after a small letter begin a new one. */
typedef struct word_list {
    char at[WORDS_MAX][WORD];
    int count;
} word_list;

static bool begins_word(const char *text, const char *c) {
    if (c == text) return true;
    const unsigned char before = (unsigned char)c[-1], now = (unsigned char)*c;
    return !isalnum(before) || !isdigit(before) != !isdigit(now) ||
           (islower(before) && isupper(now));
}

/* False if the text is not of this form or too long. */
static bool cut(const char *text, word_list *words) {
    size_t length = 0;
    words->count = 0;
    for (const char *c = text; *c; c++) {
        if (!isalnum((unsigned char)*c)) {
            if (!strchr(" _-+/.,()&", *c)) return false;
            continue;
        }
        if (begins_word(text, c)) {
            if (words->count == WORDS_MAX) return false;
            words->count++;
            length = 0;
        }
        if (length == WORD - 1) return false;
        words->at[words->count - 1][length++] = (char)tolower((unsigned char)*c);
        words->at[words->count - 1][length] = '\0';
    }
    return words->count > 0;
}

/* How many words from `first` on are one entry of the table; 0: none. */
static int match(const word_list *words, int first) {
    for (int n = PHRASE; n > 0; n--) {
        char phrase[PHRASE * (WORD + 1)] = "";
        if (first + n > words->count) continue;
        for (int i = 0; i < n; i++) {
            if (i) strcat(phrase, " ");
            strcat(phrase, words->at[first + i]);
        }
        if (is_word(phrase)) return n;
    }
    return 0;
}

/* "structure" and a hash: a name that some program made up. */
static bool is_made_up(const char *text) {
    static const char word[] = "structure";
    const size_t length = strlen(word);
    if (strncmp(text, word, length) != 0 || (text[length] != ' ' && text[length] != '-'))
        return false;
    const char *hash = text + length + 1;
    return strlen(hash) >= HASH_MIN && strspn(hash, "0123456789abcdefABCDEF") == strlen(hash);
}

bool structure_is_known(const char *text) {
    word_list words;
    int numbers = 0;
    if (is_made_up(text)) return true;
    if (!cut(text, &words)) return false;
    for (int i = 0, n; i < words.count; i += n) {
        n = match(&words, i);
        if (n > 0) continue;
        if (!isdigit((unsigned char)words.at[i][0]) || strlen(words.at[i]) > DIGITS_MAX)
            return false;
        if (++numbers > 1) return false;
        n = 1;
    }
    return numbers < words.count; /* a number alone says nothing, and may be an ID */
}
